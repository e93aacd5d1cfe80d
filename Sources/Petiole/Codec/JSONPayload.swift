/// The JSON form of a payload, by way of the compact one: one `Encoder` and one `Decoder` serve
/// both, and the texts are translated without knowing the type.
enum JSONPayload {
    /// Scratch of one thread: the payload in the compact form.
    private final class Scratch {
        var bytes = ByteWriter(capacity: 1_024)
    }

    private static let cache = ThreadCache<Scratch>()
    /// Kept from payload to payload: 64 KiB.
    private static let keptCapacity = 65_536

    static func write<Value: Encodable>(
        _ value: Value, into text: inout ByteWriter
    ) throws(CodecError) {
        let scratch = cache.take() ?? Scratch()
        defer { giveBack(scratch) }
        try CompactWriting.write(value, isJSON: true, into: &scratch.bytes)
        let start = text.count
        do throws(CodecError) {
            try scratch.bytes.withBytes { (bytes) throws(CodecError) in
                try CompactToJSON.write(
                    trusted: bytes, into: &text, maximumBytes: CompactForm.byteLimit,
                    showsSecrets: true)
            }
        } catch {
            text.truncate(to: start)
            throw error
        }
    }

    static func read<Value: Decodable>(
        _ type: Value.Type, from text: UnsafeRawBufferPointer
    ) throws(CodecError) -> Value {
        let scratch = cache.take() ?? Scratch()
        defer { giveBack(scratch) }
        try JSONToCompact.write(text, readsBytes: false, into: &scratch.bytes)
        return try scratch.bytes.withBytes { (bytes) throws(CodecError) in
            try CompactReading.read(type, from: bytes)
        }
    }

    /// The text to be shown: as it is, unless something in it is marked as a ``Secret``. Nil when it cannot be read.
    static func shown(_ text: [UInt8], limit: Int) -> String? {
        let hasMark = text.withUnsafeBytes { text in
            // Escaped, the key of a mark looks otherwise.
            SecretMark.mayBe(in: text) || text.contains(UInt8(ascii: "\\"))
        }
        guard hasMark else { return String(decoding: text, as: UTF8.self) }
        var compact = ByteWriter(capacity: text.count)
        do {
            try text.withUnsafeBytes { text in
                try JSONToCompact.write(text, readsBytes: false, into: &compact)
            }
            return try compact.withBytes { (bytes) throws(CodecError) in
                try compactToJSON(bytes, maximumBytes: limit)
            }
        } catch {
            return nil
        }
    }

    private static func giveBack(_ scratch: Scratch) {
        scratch.bytes.removeAll()
        scratch.bytes.shrink(toCapacity: keptCapacity)
        cache.put(scratch)
    }
}
