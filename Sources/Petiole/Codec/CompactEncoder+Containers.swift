/// What `Encodable` code sees of a ``CompactWriting``: an encoder and its containers, each two
/// words by value.
struct CompactEncoder: Encoder {
    let writing: CompactWriting
    let level: Int

    var codingPath: [any CodingKey] { writing.path(to: level) }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        writing.begin(.map, level)
        return KeyedEncodingContainer(CompactMapEncoder<Key>(writing: writing, level: level))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        writing.begin(.array, level)
        return CompactArrayEncoder(writing: writing, level: level)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        CompactSingleEncoder(writing: writing, level: level)
    }
}

// MARK: - Maps

struct CompactMapEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let writing: CompactWriting
    let level: Int

    var codingPath: [any CodingKey] { writing.path(to: level) }

    func encodeNil(forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.append(CompactForm.null)
    }

    func encode(_ value: Bool, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.append(value ? CompactForm.true : CompactForm.false)
    }

    func encode(_ value: String, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendText(value)
    }

    func encode(_ value: Double, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        do {
            try writing.write(value)
        } catch {
            writing.unwriteMember(level, isMap: true)
            throw error
        }
    }

    func encode(_ value: Float, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        do {
            try writing.write(value)
        } catch {
            writing.unwriteMember(level, isMap: true)
            throw error
        }
    }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        do {
            try writing.write(value)
        } catch {
            writing.unwriteMember(level, isMap: true)
            throw error
        }
    }

    func encode(_ value: Int, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: Int8, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: Int16, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: Int32, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: Int64, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: UInt, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: UInt8, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: UInt16, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: UInt32, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func encode(_ value: UInt64, forKey key: Key) throws {
        try writing.writeKey(key.stringValue, level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type, forKey key: Key
    ) -> KeyedEncodingContainer<NestedKey> {
        part(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        part(key).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { part(CodecKey.superKey) }
    func superEncoder(forKey key: Key) -> any Encoder { part(key) }

    private func part(_ key: some CodingKey) -> CompactEncoder {
        // The protocol lets nothing be thrown here. If it is not this container's turn, the part
        // goes nowhere and is closed, so that writing to it throws.
        guard (try? writing.writeKey(key.stringValue, level)) != nil else { return .closed }
        return CompactEncoder(writing: writing.part(level), level: 0)
    }
}

extension CompactEncoder {
    /// An encoder with no place in any payload; each write to its containers throws.
    static var closed: CompactEncoder { CompactEncoder(writing: CompactWriting(), level: 0) }
}

// MARK: - Arrays

struct CompactArrayEncoder: UnkeyedEncodingContainer {
    let writing: CompactWriting
    let level: Int

    var codingPath: [any CodingKey] { writing.path(to: level) }
    var count: Int { writing.levels[level].members }

    mutating func encodeNil() throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.append(CompactForm.null)
    }

    mutating func encode(_ value: Bool) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.append(value ? CompactForm.true : CompactForm.false)
    }

    mutating func encode(_ value: String) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendText(value)
    }

    mutating func encode(_ value: Double) throws {
        try writing.nextElement(level)
        do {
            try writing.write(value)
        } catch {
            writing.unwriteMember(level, isMap: false)
            throw error
        }
    }

    mutating func encode(_ value: Float) throws {
        try writing.nextElement(level)
        do {
            try writing.write(value)
        } catch {
            writing.unwriteMember(level, isMap: false)
            throw error
        }
    }

    mutating func encode<Value: Encodable>(_ value: Value) throws {
        try writing.nextElement(level)
        do {
            try writing.write(value)
        } catch {
            writing.unwriteMember(level, isMap: false)
            throw error
        }
    }

    mutating func encode(_ value: Int) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int8) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int16) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int32) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int64) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt8) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt16) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt32) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt64) throws {
        try writing.nextElement(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type
    ) -> KeyedEncodingContainer<NestedKey> {
        part().container(keyedBy: type)
    }

    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        part().unkeyedContainer()
    }

    mutating func superEncoder() -> any Encoder { part() }

    private func part() -> CompactEncoder {
        // As in a map: nothing can be thrown here, so a part out of turn is a closed one.
        guard (try? writing.nextElement(level)) != nil else { return .closed }
        return CompactEncoder(writing: writing.part(level), level: 0)
    }
}

// MARK: - Single values

struct CompactSingleEncoder: SingleValueEncodingContainer {
    let writing: CompactWriting
    let level: Int

    var codingPath: [any CodingKey] { writing.path(to: level) }

    mutating func encodeNil() throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.append(CompactForm.null)
    }

    mutating func encode(_ value: Bool) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.append(value ? CompactForm.true : CompactForm.false)
    }

    mutating func encode(_ value: String) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendText(value)
    }

    mutating func encode(_ value: Double) throws {
        try writing.takeSingle(level)
        do {
            try writing.write(value)
        } catch {
            writing.levels[level].form = .none
            throw error
        }
    }

    mutating func encode(_ value: Float) throws {
        try writing.takeSingle(level)
        do {
            try writing.write(value)
        } catch {
            writing.levels[level].form = .none
            throw error
        }
    }

    mutating func encode<Value: Encodable>(_ value: Value) throws {
        try writing.takeSingle(level)
        do {
            try writing.write(value)
        } catch {
            writing.levels[level].form = .none
            throw error
        }
    }

    mutating func encode(_ value: Int) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int8) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int16) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int32) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: Int64) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt8) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt16) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt32) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }

    mutating func encode(_ value: UInt64) throws {
        try writing.takeSingle(level)
        writing.core.pointee.bytes.appendInteger(value)
    }
}
