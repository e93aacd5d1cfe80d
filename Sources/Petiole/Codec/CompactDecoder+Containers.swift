/// What `Codable` code sees of a ``CompactReading``: a decoder and its containers, each at most
/// three words by value. Serves single values itself.
struct CompactDecoder: Decoder {
    let reading: CompactReading
    let offset: Int32
    let depth: Int32

    var codingPath: [any CodingKey] { reading.path(to: Int(offset)) }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(
        keyedBy type: Key.Type
    ) throws -> KeyedDecodingContainer<Key> {
        try reading.check(Int(offset))
        guard reading.items.head(at: Int(offset)).kind == .map else {
            throw reading.mismatch([String: Any].self, at: Int(offset))
        }
        return KeyedDecodingContainer(
            CompactMapDecoder<Key>(reading: reading, map: offset, depth: depth))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try reading.check(Int(offset))
        let head = reading.items.head(at: Int(offset))
        guard head.kind == .array || head.kind == .bytes else {
            throw reading.mismatch([Any].self, at: Int(offset))
        }
        return CompactArrayDecoder(
            reading: reading, array: offset, depth: depth,
            position: Int32(truncatingIfNeeded: head.end), index: 0)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }
}

// MARK: - Maps

struct CompactMapDecoder<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let reading: CompactReading
    let map: Int32
    let depth: Int32

    var codingPath: [any CodingKey] { reading.path(to: Int(map)) }
    var allKeys: [Key] { reading.keys(of: Int(map)) }

    func contains(_ key: Key) -> Bool {
        // The protocol lets nothing be thrown here; a payload that is gone contains nothing.
        let offset = try? reading.find(key.stringValue, in: Int(map), depth: Int(depth))
        return (offset ?? -1) >= 0
    }

    func decodeNil(forKey key: Key) throws -> Bool { reading.isNull(at: try value(key)) }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try reading.read(type, at: try value(key), depth: Int(depth) &+ 1)
    }

    func decodeIfPresent<Value: Decodable>(
        _ type: Value.Type, forKey key: Key
    ) throws -> Value? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.read(type, at: value, depth: Int(depth) &+ 1)
    }

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try reading.bool(at: value(key))
    }

    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        try reading.string(at: value(key))
    }

    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        try reading.double(at: value(key))
    }

    func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
        try reading.float(at: value(key))
    }

    func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
        try reading.integer(Int.self, at: value(key))
    }

    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 {
        try reading.integer(Int8.self, at: value(key))
    }

    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 {
        try reading.integer(Int16.self, at: value(key))
    }

    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 {
        try reading.integer(Int32.self, at: value(key))
    }

    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
        try reading.integer(Int64.self, at: value(key))
    }

    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt {
        try reading.integer(UInt.self, at: value(key))
    }

    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 {
        try reading.integer(UInt8.self, at: value(key))
    }

    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 {
        try reading.integer(UInt16.self, at: value(key))
    }

    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
        try reading.integer(UInt32.self, at: value(key))
    }

    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
        try reading.integer(UInt64.self, at: value(key))
    }

    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.bool(at: value)
    }

    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.string(at: value)
    }

    func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.double(at: value)
    }

    func decodeIfPresent(_ type: Float.Type, forKey key: Key) throws -> Float? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.float(at: value)
    }

    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(Int.self, at: value)
    }

    func decodeIfPresent(_ type: Int8.Type, forKey key: Key) throws -> Int8? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(Int8.self, at: value)
    }

    func decodeIfPresent(_ type: Int16.Type, forKey key: Key) throws -> Int16? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(Int16.self, at: value)
    }

    func decodeIfPresent(_ type: Int32.Type, forKey key: Key) throws -> Int32? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(Int32.self, at: value)
    }

    func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(Int64.self, at: value)
    }

    func decodeIfPresent(_ type: UInt.Type, forKey key: Key) throws -> UInt? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(UInt.self, at: value)
    }

    func decodeIfPresent(_ type: UInt8.Type, forKey key: Key) throws -> UInt8? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(UInt8.self, at: value)
    }

    func decodeIfPresent(_ type: UInt16.Type, forKey key: Key) throws -> UInt16? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(UInt16.self, at: value)
    }

    func decodeIfPresent(_ type: UInt32.Type, forKey key: Key) throws -> UInt32? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(UInt32.self, at: value)
    }

    func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? {
        guard let value = try presentValue(key) else { return nil }
        return try reading.integer(UInt64.self, at: value)
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<NestedKey> {
        try decoder(at: try value(key)).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try decoder(at: try value(key)).unkeyedContainer()
    }

    func superDecoder() throws -> any Decoder {
        let offset = try reading.find(
            CodecKey.superKey.stringValue, in: Int(map), depth: Int(depth))
        guard offset >= 0 else { throw reading.missing(CodecKey.superKey, in: Int(map)) }
        return decoder(at: offset)
    }

    func superDecoder(forKey key: Key) throws -> any Decoder { decoder(at: try value(key)) }

    @inline(__always)
    private func value(_ key: Key) throws -> Int {
        let offset = try reading.find(key.stringValue, in: Int(map), depth: Int(depth))
        guard offset >= 0 else { throw reading.missing(key, in: Int(map)) }
        return offset
    }

    /// Nil if the key is not there or its value is null.
    @inline(__always)
    private func presentValue(_ key: Key) throws -> Int? {
        let offset = try reading.find(key.stringValue, in: Int(map), depth: Int(depth))
        return offset < 0 || reading.isNull(at: offset) ? nil : offset
    }

    private func decoder(at offset: Int) -> CompactDecoder {
        CompactDecoder(
            reading: reading, offset: Int32(truncatingIfNeeded: offset), depth: depth &+ 1)
    }
}

// MARK: - Arrays

/// The elements of an array, or the bytes of a byte string.
struct CompactArrayDecoder: UnkeyedDecodingContainer {
    let reading: CompactReading
    let array: Int32
    let depth: Int32
    var position: Int32
    var index: Int32

    var codingPath: [any CodingKey] { reading.path(to: Int(array)) }
    var currentIndex: Int { Int(index) }
    var isAtEnd: Bool { Int(index) >= elementCount }
    var count: Int? { elementCount }

    private var elementCount: Int {
        guard Int(array) < reading.items.count else { return 0 }
        return Int(truncatingIfNeeded: reading.items.head(at: Int(array)).argument)
    }

    private var holdsBytes: Bool {
        reading.items.base[Int(array)] &>> 5 == CompactForm.Kind.bytes.rawValue
    }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd else { throw atEnd(Never.self) }
        guard !holdsBytes, reading.isNull(at: Int(position)) else { return false }
        advance()
        return true
    }

    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        if type == UInt8.self, let byte = try decode(UInt8.self) as? Value { return byte }
        let value = try reading.read(type, at: try element(type), depth: Int(depth) &+ 1)
        advance()
        return value
    }

    mutating func decode(_ type: UInt8.Type) throws -> UInt8 {
        guard !isAtEnd else { throw atEnd(type) }
        guard holdsBytes else {
            let value = try reading.integer(UInt8.self, at: Int(position))
            advance()
            return value
        }
        let byte = reading.items.base[Int(position)]
        position &+= 1
        index &+= 1
        return byte
    }

    mutating func decode(_ type: Bool.Type) throws -> Bool {
        let value = try reading.bool(at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: String.Type) throws -> String {
        let value = try reading.string(at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: Double.Type) throws -> Double {
        let value = try reading.double(at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: Float.Type) throws -> Float {
        let value = try reading.float(at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: Int.Type) throws -> Int {
        let value = try reading.integer(Int.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: Int8.Type) throws -> Int8 {
        let value = try reading.integer(Int8.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: Int16.Type) throws -> Int16 {
        let value = try reading.integer(Int16.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: Int32.Type) throws -> Int32 {
        let value = try reading.integer(Int32.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: Int64.Type) throws -> Int64 {
        let value = try reading.integer(Int64.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: UInt.Type) throws -> UInt {
        let value = try reading.integer(UInt.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: UInt16.Type) throws -> UInt16 {
        let value = try reading.integer(UInt16.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: UInt32.Type) throws -> UInt32 {
        let value = try reading.integer(UInt32.self, at: element(type))
        advance()
        return value
    }

    mutating func decode(_ type: UInt64.Type) throws -> UInt64 {
        let value = try reading.integer(UInt64.self, at: element(type))
        advance()
        return value
    }

    mutating func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type
    ) throws -> KeyedDecodingContainer<NestedKey> {
        let container = try decoder([String: Any].self).container(keyedBy: type)
        advance()
        return container
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let container = try decoder([Any].self).unkeyedContainer()
        advance()
        return container
    }

    mutating func superDecoder() throws -> any Decoder {
        let decoder = try decoder((any Decoder).self)
        advance()
        return decoder
    }

    /// The offset of the next element.
    @inline(__always)
    private func element(_ type: Any.Type) throws -> Int {
        guard !isAtEnd else { throw atEnd(type) }
        guard !holdsBytes else { throw reading.mismatch([Any].self, at: Int(array)) }
        return Int(position)
    }

    @inline(__always)
    private mutating func advance() {
        position = Int32(truncatingIfNeeded: reading.end(of: Int(position)))
        index &+= 1
    }

    private func decoder(_ type: Any.Type) throws -> CompactDecoder {
        CompactDecoder(
            reading: reading, offset: Int32(truncatingIfNeeded: try element(type)),
            depth: depth &+ 1)
    }

    private func atEnd(_ type: Any.Type) -> any Error {
        let path = codingPath + [CodecKey(intValue: Int(index))]
        return DecodingError.valueNotFound(
            type,
            DecodingError.Context(
                codingPath: path, debugDescription: "the array ends before this element",
                underlyingError: CodecError.missing(path: CodecError.path(path))))
    }
}

// MARK: - Single values

extension CompactDecoder: SingleValueDecodingContainer {
    func decodeNil() -> Bool { reading.isNull(at: Int(offset)) }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try reading.read(type, at: Int(offset), depth: Int(depth))
    }

    func decode(_ type: Bool.Type) throws -> Bool {
        try reading.bool(at: Int(offset))
    }

    func decode(_ type: String.Type) throws -> String {
        try reading.string(at: Int(offset))
    }

    func decode(_ type: Double.Type) throws -> Double {
        try reading.double(at: Int(offset))
    }

    func decode(_ type: Float.Type) throws -> Float {
        try reading.float(at: Int(offset))
    }

    func decode(_ type: Int.Type) throws -> Int {
        try reading.integer(Int.self, at: Int(offset))
    }

    func decode(_ type: Int8.Type) throws -> Int8 {
        try reading.integer(Int8.self, at: Int(offset))
    }

    func decode(_ type: Int16.Type) throws -> Int16 {
        try reading.integer(Int16.self, at: Int(offset))
    }

    func decode(_ type: Int32.Type) throws -> Int32 {
        try reading.integer(Int32.self, at: Int(offset))
    }

    func decode(_ type: Int64.Type) throws -> Int64 {
        try reading.integer(Int64.self, at: Int(offset))
    }

    func decode(_ type: UInt.Type) throws -> UInt {
        try reading.integer(UInt.self, at: Int(offset))
    }

    func decode(_ type: UInt8.Type) throws -> UInt8 {
        try reading.integer(UInt8.self, at: Int(offset))
    }

    func decode(_ type: UInt16.Type) throws -> UInt16 {
        try reading.integer(UInt16.self, at: Int(offset))
    }

    func decode(_ type: UInt32.Type) throws -> UInt32 {
        try reading.integer(UInt32.self, at: Int(offset))
    }

    func decode(_ type: UInt64.Type) throws -> UInt64 {
        try reading.integer(UInt64.self, at: Int(offset))
    }
}
