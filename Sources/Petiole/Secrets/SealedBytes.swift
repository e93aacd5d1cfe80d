// Payloads and results that are encrypted on the disk
//
// | at | size | |
// |---|---|---|
// | 0 | 1 | version, 1 |
// | 1 | 1 | codec of what is sealed |
// | 2 | 1 | length of the key's id, 1…32 |
// | 3 | | the key's id |
// | | 24 | nonce |
// | | | ciphertext |
// | | 16 | tag |
//
// What is authenticated besides: the bytes before the ciphertext; whether it is a payload or a result; the number that the
// store seals by, which its backups share; the job's name; of a result the job's id. So a payload cannot be moved to a job of another
// name or to another store, nor a result to another job, without being refused. (The id of a job is given when it is committed, after its payload was sealed: two payloads of
// one name may be exchanged by who can write the file.)

/// The layout of what a ``PayloadCipher`` makes.
struct SealedBytes {
    /// Stands in the place of the codec of what is sealed.
    static let codec: UInt8 = 4
    static let version: UInt8 = 1
    static let nonceSize = 24
    static let tagSize = 16
    static let keyLimit = 32

    let codec: UInt8
    let key: String
    /// All before the ciphertext, which is authenticated with it.
    let head: UnsafeRawBufferPointer
    let nonce: UnsafeRawBufferPointer
    /// With the tag at its end.
    let sealed: UnsafeRawBufferPointer

    /// Nil for bytes of another form.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 3, bytes[0] == Self.version else { return nil }
        let keyLength = Int(bytes[2])
        let start = 3 + keyLength + Self.nonceSize
        guard (1...Self.keyLimit).contains(keyLength), bytes.count >= start + Self.tagSize else {
            return nil
        }
        codec = bytes[1]
        key = String(decoding: bytes[3..<3 + keyLength], as: UTF8.self)
        head = UnsafeRawBufferPointer(rebasing: bytes[..<start])
        nonce = UnsafeRawBufferPointer(rebasing: bytes[3 + keyLength..<start])
        sealed = UnsafeRawBufferPointer(rebasing: bytes[start...])
    }

    /// All before the ciphertext.
    static func head(codec: UInt8, key: String, nonce: [UInt8]) -> [UInt8] {
        [version, codec, UInt8(key.utf8.count)] + Array(key.utf8) + nonce
    }

    /// The id of the key that bytes were sealed with; nil for bytes of another form.
    static func key(of bytes: UnsafeRawBufferPointer) -> String? { SealedBytes(bytes)?.key }
}

/// What sealed bytes belong to.
struct SealedPurpose: Sendable {
    /// Authenticated with the bytes.
    let associated: [UInt8]

    private init(_ kind: UInt8, _ name: String, _ store: OpenStore, _ id: UInt64) {
        var writer = ByteWriter(capacity: 96)
        writer.append(kind)
        writer.append(littleEndian: store.format.sealingID)
        writer.append(littleEndian: id)
        Array(name.utf8).withUnsafeBytes { writer.append(contentsOf: $0) }
        associated = writer.withBytes { Array($0) }
    }

    static func payload(of name: String, _ store: OpenStore) -> SealedPurpose {
        SealedPurpose(1, name, store, 0)
    }
    static func result(of name: String, _ id: UInt64, _ store: OpenStore) -> SealedPurpose {
        SealedPurpose(2, name, store, id)
    }
}

/// Encrypts payloads and results, and decrypts them. Made of keys; without the package's trait `Encryption` nobody makes one.
struct PayloadCipher: Sendable {
    /// What was sealed.
    typealias Opened = (codec: UInt8, bytes: [UInt8])

    let sealed: @Sendable (UnsafeRawBufferPointer, _ codec: UInt8, SealedPurpose) -> [UInt8]
    let opened: @Sendable (UnsafeRawBufferPointer, SealedPurpose) throws(SealError) -> Opened

    init(
        sealed: @escaping @Sendable (UnsafeRawBufferPointer, UInt8, SealedPurpose) -> [UInt8],
        opened:
            @escaping @Sendable (UnsafeRawBufferPointer, SealedPurpose) throws(SealError) -> Opened
    ) {
        self.sealed = sealed
        self.opened = opened
    }

    /// Seals the bytes of a writer from an offset on, in their place.
    func seal(
        _ writer: inout ByteWriter, from offset: Int, codec: UInt8, _ purpose: SealedPurpose
    ) {
        let bytes = writer.withBytes {
            sealed(UnsafeRawBufferPointer(rebasing: $0[offset...]), codec, purpose)
        }
        writer.truncate(to: offset)
        bytes.withUnsafeBytes { writer.append(contentsOf: $0) }
    }
}

/// Why sealed bytes cannot be opened.
enum SealError: Error, Equatable, CustomStringConvertible {
    /// This program has no keys at all, or not this one.
    case unknownKey(String)
    /// They are not what was sealed with that key, for that job.
    case wrong(String)
    /// They are no sealed bytes.
    case malformed

    var description: String {
        switch self {
        case .unknownKey(let key):
            "it is encrypted with key \"\(visible(key))\", which this program was not given"
        case .wrong(let key):
            "it is encrypted with another key \"\(visible(key))\" than this program was given, or "
                + "was changed"
        case .malformed: "it is said to be encrypted, and is not"
        }
    }

    /// Of bytes that no cipher is there for.
    static func noCipher(_ bytes: UnsafeRawBufferPointer) -> SealError {
        SealedBytes.key(of: bytes).map { .unknownKey($0) } ?? .malformed
    }
}

extension UndecodablePayload {
    /// The payload's codec is none that is known here.
    init(unknownCodec codec: UInt8, _ payload: UnsafeRawBufferPointer) {
        guard codec == SealedBytes.codec else {
            self.init("its codec \(codec) is unknown here")
            return
        }
        self.init(SealError.noCipher(payload).description)
    }
}

extension AttemptHooks {
    /// Runs a closure over a payload as it was before it was sealed; as it is, when it is not.
    func withOpened<Value>(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, name: String,
        _ body: (UnsafeRawBufferPointer, UInt8) throws -> Value
    ) throws -> Value {
        guard codec == SealedBytes.codec, let cipher else { return try body(payload, codec) }
        let opened: PayloadCipher.Opened
        do throws(SealError) {
            opened = try cipher.opened(payload, .payload(of: name, store))
        } catch {
            throw UndecodablePayload(error.description)
        }
        return try opened.bytes.withUnsafeBytes { try body($0, opened.codec) }
    }

    /// A result sealed, if there is a cipher.
    func sealed(
        _ result: AsyncAttempt.Result, name: String, id: UInt64
    ) -> AsyncAttempt.Result {
        guard let cipher else { return result }
        let bytes = result.result.withUnsafeBytes {
            cipher.sealed($0, result.codec, .result(of: name, id, store))
        }
        return (SealedBytes.codec, bytes)
    }
}

extension JobStore {
    /// A payload or a result as it was before it was sealed.
    func opened(
        _ bytes: [UInt8], codec: UInt8, _ purpose: SealedPurpose
    ) throws(SealError) -> PayloadCipher.Opened {
        var result: Result<PayloadCipher.Opened, SealError> = .failure(.malformed)
        bytes.withUnsafeBytes { bytes in
            guard let cipher = setup?.cipher else {
                result = .failure(.noCipher(bytes))
                return
            }
            do throws(SealError) { result = .success(try cipher.opened(bytes, purpose)) } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }
}
