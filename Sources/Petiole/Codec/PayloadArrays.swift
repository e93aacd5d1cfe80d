extension PayloadCodec {
    /// A value's bytes.
    package func encode<Value: Encodable>(_ value: Value) throws(CodecError) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        try encode(value, into: &writer)
        return writer.withBytes { Array($0) }
    }

    /// Reads a value back, as `decode` does from bytes that are lent.
    package func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8]
    ) throws(CodecError) -> Value {
        var result: Result<Value, CodecError>?
        bytes.withUnsafeBytes { bytes in
            do throws(CodecError) {
                result = .success(try decode(type, from: bytes))
            } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}
