/// How a job's payload and result become bytes. Its `id` is stored with each payload, so a store
/// may hold several forms at once.
public struct PayloadCodec: Sendable, Hashable {
    /// What is stored on disk; never reused for another form. 3 belongs to the commands' own form.
    public let id: UInt8

    private init(id: UInt8) { self.id = id }

    /// The bytes as they are; for `[UInt8]` alone.
    public static let raw = PayloadCodec(id: 0)
    /// A subset of CBOR (RFC 8949): small, fast, and shown as JSON by the tool.
    public static let compact = PayloadCodec(id: 1)
    /// JSON text, for payloads that other programs write or read. Refuses infinities and NaN.
    ///
    /// Dates, URLs, `Data` and `Decimal` are written as their own `Codable` code says: a number, an
    /// object, an array of numbers, an object.
    public static let json = PayloadCodec(id: 2)

    /// The codec whose payloads carry this id, or nil if no codec does.
    package init?(storedID: UInt8) {
        guard storedID <= 2 else { return nil }
        self.init(id: storedID)
    }
}

extension PayloadCodec {
    /// Appends `value`'s bytes. After an error `bytes` is as it was.
    func encode<Value: Encodable>(
        _ value: Value, into bytes: inout ByteWriter
    ) throws(CodecError) {
        switch id {
        case Self.compact.id:
            try CompactWriting.write(value, isJSON: false, into: &bytes)
        case Self.json.id:
            try JSONPayload.write(value, into: &bytes)
        default:
            guard let raw = value as? [UInt8] else { throw Self.onlyBytes(Value.self) }
            raw.withUnsafeBytes { bytes.append(contentsOf: $0) }
        }
    }

    /// Reads a value back. Never trusts the bytes: whatever they are, it returns or throws, in time
    /// and memory bounded by their number and the type.
    func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: UnsafeRawBufferPointer
    ) throws(CodecError) -> Value {
        switch id {
        case Self.compact.id:
            return try CompactReading.read(type, from: bytes)
        case Self.json.id:
            return try JSONPayload.read(type, from: bytes)
        default:
            guard let value = Array(bytes) as? Value else { throw Self.onlyBytes(type) }
            return value
        }
    }

    func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: RawSpan
    ) throws(CodecError) -> Value {
        try bytes.withUnsafeBytes { (bytes) throws(CodecError) in
            try decode(type, from: bytes)
        }
    }

    private static func onlyBytes(_ type: Any.Type) -> CodecError {
        .unsupported(path: "", reason: "raw payloads are [UInt8], and this is a \(type)")
    }
}
