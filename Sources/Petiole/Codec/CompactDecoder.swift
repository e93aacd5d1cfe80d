#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What one decoding reads from: bytes proved well-formed, and where the next key is expected.
/// Kept by its thread and used again.
///
/// No index of keys is built: they are nearly always asked for in the order in which they were
/// written, so a map remembers where it was and looks there first.
final class CompactReading {
    /// Where the search for the next key of one map begins. A hint: another map that lies as deep
    /// may have overwritten it, then the search begins at the front.
    struct Hint {
        /// The offset of the map's head; -1 for no map.
        var map: Int32 = -1
        /// The offset of a key, or of a value that is still to be skipped.
        var position: Int32 = 0
        /// The number of keys before the one to look at next.
        var index: Int32 = 0
        var isAtValue = false
    }

    struct Core: ~Copyable {
        /// Lent for the time of one call; then there are no bytes, and each read throws.
        var items = CompactItems(base: CompactReading.nothing, count: 0)
        var fences = CompactFences()
        var ledger = KeyLedger()
        /// The offset of the innermost value whose own code threw an error without a path; -1 for
        /// none.
        var failure = -1
        /// The number of hints that may be set.
        var hintsUsed = 0
    }

    /// Owned by this object, freed by `deinit`; a pointer so that each access is a plain one.
    private let core: UnsafeMutablePointer<Core>
    private let hints: UnsafeMutablePointer<Hint>

    @inline(__always)
    var items: CompactItems { core.pointee.items }

    private static let hintCount = 64
    // A byte that is never written and never freed, so that the address is always a good one.
    nonisolated(unsafe) private static let nothing: UnsafePointer<UInt8> = {
        let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 16)
        byte.initialize(repeating: 0, count: 16)
        return UnsafePointer(byte)
    }()
    static let cache = ThreadCache<CompactReading>()

    init() {
        core = .allocate(capacity: 1)
        core.initialize(to: Core())
        hints = .allocate(capacity: Self.hintCount)
        hints.initialize(repeating: Hint(), count: Self.hintCount)
    }

    deinit {
        core.deinitialize(count: 1)
        core.deallocate()
        hints.deallocate()
    }
}

// MARK: - One payload

extension CompactReading {
    static func read<Value: Decodable>(
        _ type: Value.Type, from bytes: UnsafeRawBufferPointer
    ) throws(CodecError) -> Value {
        var reading = cache.take() ?? CompactReading()
        defer {
            reading.forget()
            // A container that somebody kept still refers to this object: it stays empty for good.
            if isKnownUniquelyReferenced(&reading) { cache.put(reading) }
        }
        do {
            return try reading.readAll(type, bytes)
        } catch {
            throw .translate(error, path: reading.failurePath())
        }
    }

    private func readAll<Value: Decodable>(
        _ type: Value.Type, _ bytes: UnsafeRawBufferPointer
    ) throws -> Value {
        core.pointee.items = CompactItems(
            base: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? Self.nothing,
            count: bytes.count)
        try CompactValidator.check(
            items, ledger: &core.pointee.ledger, fences: &core.pointee.fences)
        return try read(type, at: 0, depth: 0)
    }

    private func forget() {
        core.pointee.items = CompactItems(base: Self.nothing, count: 0)
        core.pointee.fences.removeAll()
        core.pointee.ledger.removeAll()
        core.pointee.failure = -1
        // Offsets mean something else in the next payload.
        for slot in 0..<core.pointee.hintsUsed { hints[slot].map = -1 }
        core.pointee.hintsUsed = 0
    }

    private func failurePath() -> String {
        core.pointee.failure < 0 ? "" : CodecError.path(path(to: core.pointee.failure))
    }
}

// MARK: - Values

extension CompactReading {
    /// Throws if the payload is no longer there; everything else about `offset` is proved.
    @inline(__always)
    func check(_ offset: Int) throws {
        guard offset < items.count else {
            throw CodecError.unsupported(
                path: "", reason: "a container is used after its value was complete")
        }
    }

    @inline(__always)
    func isNull(at offset: Int) -> Bool {
        offset < items.count && items.base[offset] == CompactForm.null
    }

    @inline(__always)
    func end(of offset: Int) -> Int {
        let kind = items.base[offset] &>> 5
        if kind &>> 1 == 2, let end = core.pointee.fences.end(of: offset) { return end }
        return items.end(of: offset)
    }

    @inline(__always)
    func bool(at offset: Int) throws -> Bool {
        try check(offset)
        switch items.base[offset] {
        case CompactForm.false: return false
        case CompactForm.true: return true
        default: throw mismatch(Bool.self, at: offset)
        }
    }

    @inline(__always)
    func string(at offset: Int) throws -> String {
        try check(offset)
        guard items.base[offset] &>> 5 == CompactForm.Kind.text.rawValue else {
            throw mismatch(String.self, at: offset)
        }
        return String(decoding: items.string(at: offset), as: UTF8.self)
    }

    @inline(__always)
    func integer<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) throws -> Value {
        try check(offset)
        let first = items.base[offset]
        guard first &>> 5 < 2 else { return try wholeNumber(type, at: offset) }
        let argument = items.head(at: offset).argument
        if first &>> 5 == 0 {
            guard let value = Value(exactly: argument) else { throw outOfRange(type, at: offset) }
            return value
        }
        // -1 - argument, without leaving the type.
        guard Value.isSigned, let positive = Value(exactly: argument) else {
            throw outOfRange(type, at: offset)
        }
        return ~positive
    }

    /// A floating-point number without a fraction serves as an integer: JSON has one kind of number.
    private func wholeNumber<Value: FixedWidthInteger>(
        _ type: Value.Type, at offset: Int
    ) throws -> Value {
        guard let number = number(at: offset) else { throw mismatch(type, at: offset) }
        guard let value = Value(exactly: number) else { throw outOfRange(type, at: offset) }
        return value
    }

    @inline(__always)
    func double(at offset: Int) throws -> Double {
        try check(offset)
        guard let number = number(at: offset) else { throw mismatch(Double.self, at: offset) }
        return number
    }

    @inline(__always)
    func float(at offset: Int) throws -> Float {
        try check(offset)
        if items.base[offset] == CompactForm.single {
            return Float(bitPattern: UInt32(truncatingIfNeeded: items.head(at: offset).argument))
        }
        guard let number = number(at: offset) else { throw mismatch(Float.self, at: offset) }
        let value = Float(number)
        guard value.isFinite || !number.isFinite else { throw outOfRange(Float.self, at: offset) }
        return value
    }

    /// The number at `offset`, the nearest one for an integer beyond 2⁵³; nil if there is none.
    @inline(__always)
    private func number(at offset: Int) -> Double? {
        let head = items.head(at: offset)
        switch items.base[offset] {
        case CompactForm.double: return Double(bitPattern: head.argument)
        case CompactForm.single:
            return Double(Float(bitPattern: UInt32(truncatingIfNeeded: head.argument)))
        case CompactForm.half:
            return Double(CompactForm.half(UInt16(truncatingIfNeeded: head.argument)))
        default:
            switch head.kind {
            case .unsigned: return Double(head.argument)
            case .negative: return -1 - Double(head.argument)
            default: return nil
            }
        }
    }

    /// Any value: by a short way if its type is known here, else by its own `init(from:)`.
    @inline(__always)
    func read<Value: Decodable>(
        _ type: Value.Type, at offset: Int, depth: Int
    ) throws -> Value {
        if type == String.self {
            return reinterpret(try string(at: offset))
        } else if type == Int.self {
            return reinterpret(try integer(Int.self, at: offset))
        } else if type == Double.self {
            return reinterpret(try double(at: offset))
        } else if type == [UInt8].self {
            return reinterpret(try bytes(at: offset))
        } else if type == [String].self {
            return reinterpret(try array(at: offset) { try string(at: $0) })
        } else if type == [Int].self {
            return reinterpret(try array(at: offset) { try integer(Int.self, at: $0) })
        } else if type == [Double].self {
            return reinterpret(try array(at: offset) { try double(at: $0) })
        }
        do {
            try check(offset)
            let value = try type.init(
                from: CompactDecoder(
                    reading: self, offset: Int32(truncatingIfNeeded: offset),
                    depth: Int32(truncatingIfNeeded: depth)))
            core.pointee.failure = -1
            return value
        } catch {
            if core.pointee.failure < 0 { core.pointee.failure = offset }
            throw error
        }
    }

    private func bytes(at offset: Int) throws -> [UInt8] {
        try check(offset)
        if items.base[offset] &>> 5 == CompactForm.Kind.bytes.rawValue {
            return Array(items.string(at: offset))
        }
        return try array(at: offset) { try integer(UInt8.self, at: $0) }
    }

    @inline(__always)
    private func array<Element>(
        at offset: Int, _ read: (Int) throws -> Element
    ) throws -> [Element] {
        try check(offset)
        let head = items.head(at: offset)
        guard head.kind == .array else { throw mismatch([Element].self, at: offset) }
        // Each element takes a byte at least, so the payload's size bounds the count.
        let count = Int(truncatingIfNeeded: head.argument)
        var elements: [Element] = []
        elements.reserveCapacity(count)
        var position = head.end
        for _ in 0..<count {
            elements.append(try read(position))
            position = end(of: position)
        }
        return elements
    }
}

/// The same value under the name of a type that the caller found to be the same one.
@inline(__always)
private func reinterpret<Known, Value>(_ value: Known) -> Value {
    withUnsafePointer(to: value) { UnsafeRawPointer($0).load(as: Value.self) }
}

// MARK: - Keys

extension CompactReading {
    /// The offset of the value that `key` has in the map at `map`; -1 if the key is not there.
    @inline(__always)
    func find(_ key: String, in map: Int, depth: Int) throws -> Int {
        try check(map)
        let slot = depth & (Self.hintCount &- 1)
        var hint = hints[slot]
        let head = items.head(at: map)
        if Int(hint.map) != map {
            core.pointee.hintsUsed = max(core.pointee.hintsUsed, slot &+ 1)
            hint = Hint(
                map: Int32(truncatingIfNeeded: map),
                position: Int32(truncatingIfNeeded: head.end))
        }
        let count = Int(truncatingIfNeeded: head.argument)
        var key = key
        let found = key.withUTF8 { key in
            var position = Int(hint.position)
            if hint.isAtValue { position = end(of: position) }
            var index = Int(hint.index)
            for _ in 0..<count {
                if index == count {
                    index = 0
                    position = head.end
                }
                let name = items.string(at: position)
                // The string's first byte lies after its head, and so does the value after both.
                let value = UnsafePointer(name.baseAddress.unsafelyUnwrapped) - items.base
                let next = value &+ name.count
                index &+= 1
                if name.count == key.count, Self.equal(name, key) {
                    hint.position = Int32(truncatingIfNeeded: next)
                    hint.index = Int32(truncatingIfNeeded: index)
                    hint.isAtValue = true
                    return next
                }
                position = end(of: next)
            }
            return -1
        }
        hints[slot] = hint
        return found
    }

    @inline(__always)
    private static func equal(
        _ one: UnsafeBufferPointer<UInt8>, _ other: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        guard let left = one.baseAddress, let right = other.baseAddress else { return true }
        return memcmp(left, right, one.count) == 0
    }

    func keys<Key: CodingKey>(of map: Int) -> [Key] {
        guard map < items.count else { return [] }
        let head = items.head(at: map)
        var keys: [Key] = []
        keys.reserveCapacity(Int(truncatingIfNeeded: head.argument))
        var position = head.end
        for _ in 0..<Int(truncatingIfNeeded: head.argument) {
            let name = String(decoding: items.string(at: position), as: UTF8.self)
            if let key = Key(stringValue: name) { keys.append(key) }
            position = end(of: items.end(of: position))
        }
        return keys
    }
}

// MARK: - Errors

extension CompactReading {
    /// The keys that lead to the item at `target`, found by walking there from the front.
    func path(to target: Int) -> [any CodingKey] {
        var path: [any CodingKey] = []
        var offset = 0
        while offset < target, offset < items.count {
            let head = items.head(at: offset)
            guard head.kind == .map || head.kind == .array else { break }
            var position = head.end
            var inside: Int?
            for index in 0..<Int(truncatingIfNeeded: head.argument) where inside == nil {
                let start = head.kind == .map ? items.end(of: position) : position
                let next = end(of: start)
                if target < next {
                    inside = start
                    if head.kind == .map {
                        let name = String(decoding: items.string(at: position), as: UTF8.self)
                        path.append(CodecKey(stringValue: name))
                    } else {
                        path.append(CodecKey(intValue: index))
                    }
                }
                position = next
            }
            guard let inside else { break }
            offset = inside
        }
        return path
    }

    /// `Codable` code may look at these errors and try something else, so they are the standard
    /// ones; ours is within, and comes out at the end.
    func mismatch(_ type: Any.Type, at offset: Int) -> any Error {
        let path = path(to: offset)
        let found = items.name(at: offset)
        let ours = CodecError.mismatch(
            path: CodecError.path(path), expected: Self.name(type), found: found)
        let context = DecodingError.Context(
            codingPath: path, debugDescription: "found \(found)", underlyingError: ours)
        return isNull(at: offset)
            ? DecodingError.valueNotFound(type, context) : DecodingError.typeMismatch(type, context)
    }

    private static func name(_ type: Any.Type) -> String {
        if type == [Any].self { return "an array" }
        return type == [String: Any].self ? "a map" : "\(type)"
    }

    func outOfRange(_ type: Any.Type, at offset: Int) -> any Error {
        let path = path(to: offset)
        return DecodingError.dataCorrupted(
            DecodingError.Context(
                codingPath: path, debugDescription: "the number does not fit \(type)",
                underlyingError: CodecError.outOfRange(
                    path: CodecError.path(path), type: "\(type)")))
    }

    func missing(_ key: any CodingKey, in map: Int) -> any Error {
        DecodingError.keyNotFound(
            key, DecodingError.Context(codingPath: path(to: map), debugDescription: "missing"))
    }
}
