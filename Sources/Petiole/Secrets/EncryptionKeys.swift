#if Encryption
    import Crypto

    // Why no nonce meets its key twice
    //
    // AES-GCM must not be given one nonce twice under one key, and its nonces of 96 bits are too short to be drawn at random for
    // every job of a store: after 2³² of them two are equal with a probability of 2⁻³³, and a store may hold more in a day. So
    // each message has a nonce of 192 bits from the system's generator. The first half makes a key for that message alone, by
    // HKDF-Expand (HMAC-SHA-256) of the user's key; the second half is AES-GCM's nonce under it. Two messages would have to
    // draw the same 192 bits: with 2⁶⁴ of them the probability is below 2⁻⁶⁴. Nothing is counted or kept, so processes that share
    // a key, a store restored from a backup and a machine resumed from a snapshot need nothing of each other; what must
    // hold is that the system's generator does not repeat itself.
    //
    // - Source: RFC 5869 for HKDF; NIST SP 800-38D, section 8, for the bound on random nonces; C2SP's XAES-256-GCM, which
    //   derives keys in the same way (by AES-CMAC).

    /// Keys for payloads and results: what is accepted and recorded by way of a store that was opened with them lies encrypted on the
    /// disk (AES-256-GCM).
    ///
    /// The name of the job, its queue, tags, headers and unique key, the texts of failures, progress, and rows of the store's
    /// tables are not encrypted, and nor are commands. Where a key comes from is the program's matter; one that is lost is lost with
    /// all that was sealed with it. To change keys, seal with a new one and keep the old ones until nothing is sealed
    /// with them any more.
    public struct EncryptionKeys: Sendable {
        private let current: String
        private let keys: [String: SymmetricKey]

        /// Takes over keys.
        /// - Parameters:
        ///   - id: the id of the key to seal with.
        ///   - keys: 32 random bytes for each id, which has 1 to 32 letters, digits, dots, dashes and underscores. Not a password: that
        ///     is to be made a key by a function for that purpose.
        /// - Throws: ``EncryptionKeyError``.
        public init(
            sealingWith id: String, keys: [String: [UInt8]]
        ) throws(EncryptionKeyError) {
            for (id, bytes) in keys {
                guard NameForm.isValid(id), id.utf8.count <= SealedBytes.keyLimit else {
                    throw .invalidID(id)
                }
                guard bytes.count == 32 else { throw .wrongLength(id: id, bytes: bytes.count) }
            }
            guard keys[id] != nil else { throw .missing(id: id) }
            current = id
            self.keys = keys.mapValues { SymmetricKey(data: $0) }
        }

        var cipher: PayloadCipher {
            PayloadCipher { [self] bytes, codec, purpose in
                seal(bytes, codec, purpose)
            } opened: { [self] (bytes, purpose) throws(SealError) in
                try open(bytes, purpose)
            }
        }

        private func seal(
            _ bytes: UnsafeRawBufferPointer, _ codec: UInt8, _ purpose: SealedPurpose
        ) -> [UInt8] {
            var generator = SystemRandomNumberGenerator()
            var nonce: [UInt8] = []
            for _ in 0..<3 {
                withUnsafeBytes(of: generator.next() as UInt64) { nonce += $0 }
            }
            let head = SealedBytes.head(codec: codec, key: current, nonce: nonce)
            do {
                let box = try AES.GCM.seal(
                    bytes, using: Self.messageKey(keys[current]!, nonce[..<12]),
                    nonce: AES.GCM.Nonce(data: nonce[12...]),
                    authenticating: purpose.associated + head)
                return head + box.ciphertext + box.tag
            } catch {
                // It fails for keys and nonces of other lengths alone, which are given here.
                preconditionFailure("sealing failed: \(error)")
            }
        }

        private func open(
            _ bytes: UnsafeRawBufferPointer, _ purpose: SealedPurpose
        ) throws(SealError) -> PayloadCipher.Opened {
            guard let sealed = SealedBytes(bytes) else { throw .malformed }
            guard let key = keys[sealed.key] else { throw .unknownKey(sealed.key) }
            let nonce = Array(sealed.nonce)
            let tag = sealed.sealed.count - SealedBytes.tagSize
            do {
                let box = try AES.GCM.SealedBox(
                    nonce: AES.GCM.Nonce(data: nonce[12...]),
                    ciphertext: sealed.sealed[..<tag], tag: sealed.sealed[tag...])
                let plain = try AES.GCM.open(
                    box, using: Self.messageKey(key, nonce[..<12]),
                    authenticating: purpose.associated + Array(sealed.head))
                return (sealed.codec, Array(plain))
            } catch {
                throw .wrong(sealed.key)
            }
        }

        /// The key of one message.
        private static func messageKey(
            _ key: SymmetricKey, _ salt: ArraySlice<UInt8>
        ) -> SymmetricKey {
            HKDF<SHA256>.expand(
                pseudoRandomKey: key, info: Array("petiole sealed 1".utf8) + salt,
                outputByteCount: 32)
        }
    }

    /// Why keys were not taken over.
    public enum EncryptionKeyError: Error, Sendable, Hashable, CustomStringConvertible {
        /// The id is not of the form `[A-Za-z0-9][A-Za-z0-9._-]{0,31}`.
        case invalidID(String)
        /// The key has another number of bytes than 32.
        case wrongLength(id: String, bytes: Int)
        /// There is no key of the id to seal with.
        case missing(id: String)

        /// What is wrong, and what is allowed.
        public var description: String {
            switch self {
            case .invalidID(let id):
                "\"\(visible(String(id.prefix(80))))\" is not the id of a key: 1 to 32 letters, digits, "
                    + "dots, dashes and underscores are allowed, and a letter or digit first"
            case .wrongLength(let id, let bytes):
                "key \"\(id)\" has \(bytes) bytes; 32 random ones are needed"
            case .missing(let id): "there is no key \"\(visible(id))\" to seal with"
            }
        }
    }
#endif
