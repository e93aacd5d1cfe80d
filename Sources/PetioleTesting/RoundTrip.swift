import Petiole

/// Writes a job's value as an enqueue does and reads it back as an attempt does.
/// - Returns: what was read.
/// - Throws: ``CodecError`` when it can be written but not read, or not even written.
public func roundTrip<J: CodableJob>(_ job: J) throws(CodecError) -> J {
    try roundTrip(job, through: J.codec)
}

/// Writes a value and reads it back: a result, or a part of a payload.
/// - Returns: what was read.
/// - Throws: ``CodecError`` when it can be written but not read, or not even written.
public func roundTrip<Value: Codable>(
    _ value: Value, through codec: PayloadCodec = .compact
) throws(CodecError) -> Value {
    try codec.decode(Value.self, from: codec.encode(value))
}
