#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What one encoding writes into: the bytes, and the values that are being written, outermost
/// first. Kept by its thread and used again.
///
/// `Encodable` code gets containers that refer to it by level. Only the innermost level may write;
/// a container kept beyond its value's `encode(to:)` finds another level there and throws.
final class CompactWriting {
    struct Core: ~Copyable {
        var bytes = ByteWriter(capacity: 256)
        var ledger = KeyLedger()
        /// The innermost value being written; -1 when none is.
        var level = -1
        /// How deep in the payload the value of level 0 lies.
        var depth = 0
        /// Bytes as arrays of numbers and no NaN, as JSON needs it.
        var isJSON = false
        /// Parts handed out by `nestedContainer` and `superEncoder`, by ascending offset.
        var parts: [Part] = []
        var spare: [CompactWriting] = []
        /// Where the innermost failure under way was, for errors that carry no path.
        var failurePath: [any CodingKey]?
    }

    /// A value that is written beside the bytes, and goes in at `offset` when the value around it
    /// is complete: such parts may be filled in any order.
    struct Part {
        let offset: Int
        let writing: CompactWriting
    }

    /// A value being written.
    struct Level {
        enum Form: UInt8 { case none, map, array, single, confused, tooDeep }

        var start = 0
        var members = 0
        var firstKey = 0
        var firstPart = 0
        /// Where the last key begins.
        var lastKey = 0
        /// How many containers are around it.
        var depth = 0
        var form = Form.none
    }

    /// Owned by this object, freed by `deinit`; a pointer so that each access is a plain one.
    let core: UnsafeMutablePointer<Core>
    let levels: UnsafeMutablePointer<Level>
    /// For a part: the writing it goes into, and the place there. Nil again once it is in.
    private var around: CompactWriting?
    private var place = (level: 0, value: Level())

    /// Each container and the value in the innermost one, and as many again, and again, for types
    /// that write another in their place.
    static let levelLimit = 3 * (CompactForm.depthLimit + 1)
    /// Kept from payload to payload: 64 KiB.
    static let keptCapacity = 65_536
    static let spareLimit = 16
    static let cache = ThreadCache<CompactWriting>()

    init() {
        core = .allocate(capacity: 1)
        core.initialize(to: Core())
        levels = .allocate(capacity: Self.levelLimit)
        levels.initialize(to: Level())
    }

    deinit {
        core.deinitialize(count: 1)
        core.deallocate()
        levels.deallocate()
    }
}

// MARK: - One payload

extension CompactWriting {
    /// Appends `value` to `bytes`; after an error they are as they were.
    static func write<Value: Encodable>(
        _ value: Value, isJSON: Bool, into bytes: inout ByteWriter
    ) throws(CodecError) {
        var writing = cache.take() ?? CompactWriting()
        let core = writing.core
        let start = bytes.count
        swap(&core.pointee.bytes, &bytes)
        core.pointee.isJSON = isJSON
        core.pointee.depth = 0
        var failure: CodecError?
        do {
            try writing.write(value)
            if core.pointee.bytes.count - start > CompactForm.byteLimit {
                failure = .tooLarge(limit: CompactForm.byteLimit)
            }
        } catch {
            failure = .translate(
                error, path: CodecError.path(core.pointee.failurePath ?? []))
        }
        swap(&core.pointee.bytes, &bytes)
        core.pointee.level = -1
        core.pointee.failurePath = nil
        core.pointee.ledger.removeAll()
        // A container that somebody kept still refers to this object: it stays closed for good.
        if isKnownUniquelyReferenced(&writing) { cache.put(writing) }
        if let failure {
            bytes.truncate(to: start)
            throw failure
        }
    }
}

// MARK: - Values in values

extension CompactWriting {
    /// Writes any value at the end of the bytes, one level further in.
    @inline(__always)
    func write<Value: Encodable>(_ value: Value) throws {
        if try writeKnown(value) { return }
        let level = core.pointee.level &+ 1
        guard level < Self.levelLimit else {
            throw CodecError.tooDeep(limit: CompactForm.depthLimit)
        }
        open(level)
        do {
            try value.encode(to: CompactEncoder(writing: self, level: level))
            try close(level)
        } catch {
            if core.pointee.failurePath == nil { core.pointee.failurePath = path(to: level) }
            abandon(level)
            throw error
        }
    }

    @inline(__always)
    func open(_ level: Int) {
        var depth = core.pointee.depth
        if level > 0 {
            let outer = levels[level &- 1]
            depth = outer.form == .single ? outer.depth : outer.depth &+ 1
        }
        let value = Level(
            start: core.pointee.bytes.count, firstKey: core.pointee.ledger.count,
            firstPart: core.pointee.parts.count, depth: depth)
        (levels + level).initialize(to: value)
        core.pointee.level = level
    }

    @inline(__always)
    private func close(_ level: Int) throws {
        let value = levels[level]
        try check(level)
        switch value.form {
        case .map:
            let items = CompactItems(
                base: core.pointee.bytes.base, count: core.pointee.bytes.count)
            if let twice = core.pointee.ledger.close(from: value.firstKey, in: items) {
                let key = String(decoding: items.string(at: twice), as: UTF8.self)
                throw CodecError.unsupported(
                    path: CodecError.path(path(to: level) + [CodecKey(stringValue: key)]),
                    reason: "the key is written twice")
            }
            if core.pointee.parts.count > value.firstPart { try insertParts(from: value.firstPart) }
            core.pointee.bytes.closeContainer(.map, at: value.start, count: value.members)
        case .array:
            if core.pointee.parts.count > value.firstPart { try insertParts(from: value.firstPart) }
            core.pointee.bytes.closeContainer(.array, at: value.start, count: value.members)
        case .single:
            if core.pointee.parts.count > value.firstPart { try insertParts(from: value.firstPart) }
        case .none:
            // A type without fields asks for nothing: an empty map.
            guard value.depth < CompactForm.depthLimit else {
                throw CodecError.tooDeep(limit: CompactForm.depthLimit)
            }
            core.pointee.bytes.appendHead(.map, 0)
        case .tooDeep:
            throw CodecError.tooDeep(limit: CompactForm.depthLimit)
        case .confused:
            throw CodecError.unsupported(
                path: CodecError.path(path(to: level)),
                reason: "it is written both as one form and as another")
        }
        core.pointee.level = level &- 1
    }

    /// Takes back what was written of a value that failed.
    private func abandon(_ level: Int) {
        let value = levels[level]
        core.pointee.bytes.truncate(to: value.start)
        core.pointee.ledger.truncate(to: value.firstKey)
        discardParts(from: value.firstPart)
        core.pointee.level = level - 1
    }

    /// Whether the value was of a kind that needs no `encode(to:)`, and is written.
    @inline(__always)
    private func writeKnown<Value: Encodable>(_ value: Value) throws -> Bool {
        if Value.self == String.self {
            core.pointee.bytes.appendText(reinterpret(value, as: String.self))
        } else if Value.self == Int.self {
            core.pointee.bytes.appendInteger(reinterpret(value, as: Int.self))
        } else if Value.self == Double.self {
            try write(reinterpret(value, as: Double.self))
        } else if Value.self == [UInt8].self {
            guard !core.pointee.isJSON else { return false }
            reinterpret(value, as: [UInt8].self).withUnsafeBytes {
                core.pointee.bytes.appendString(.bytes, $0)
            }
        } else if Value.self == [String].self {
            let texts = reinterpret(value, as: [String].self)
            core.pointee.bytes.appendHead(.array, UInt64(texts.count))
            for text in texts { core.pointee.bytes.appendText(text) }
        } else if Value.self == [Int].self {
            let integers = reinterpret(value, as: [Int].self)
            core.pointee.bytes.appendHead(.array, UInt64(integers.count))
            for integer in integers { core.pointee.bytes.appendInteger(integer) }
        } else if Value.self == [Double].self {
            let numbers = reinterpret(value, as: [Double].self)
            core.pointee.bytes.appendHead(.array, UInt64(numbers.count))
            for number in numbers { try write(number) }
        } else {
            return false
        }
        return true
    }

    @inline(__always)
    func write(_ value: Double) throws {
        if core.pointee.isJSON, !value.isFinite { throw notFinite() }
        core.pointee.bytes.appendDouble(value)
    }

    @inline(__always)
    func write(_ value: Float) throws {
        if core.pointee.isJSON, !value.isFinite { throw notFinite() }
        core.pointee.bytes.append(CompactForm.single)
        core.pointee.bytes.append(bigEndian: value.bitPattern)
    }

    private func notFinite() -> CodecError {
        .unsupported(
            path: CodecError.path(path(to: core.pointee.level + 1)),
            reason: "JSON has no infinity and no NaN")
    }
}

/// The same bits; the caller has compared the types.
@inline(__always)
private func reinterpret<Value, Known>(_ value: Value, as type: Known.Type) -> Known {
    withUnsafePointer(to: value) { UnsafeRawPointer($0).load(as: Known.self) }
}

// MARK: - Containers

extension CompactWriting {
    /// Makes the value of `level` a map or an array. Asked for again, it goes on with the same one.
    @inline(__always)
    func begin(_ form: Level.Form, _ level: Int) {
        guard core.pointee.level == level else { return }
        if levels[level].form == .none {
            levels[level].form = levels[level].depth < CompactForm.depthLimit ? form : .tooDeep
            core.pointee.bytes.append(0)
        } else if levels[level].form != form, levels[level].form != .tooDeep {
            levels[level].form = .confused
        }
    }

    @inline(__always)
    func check(_ level: Int) throws {
        if core.pointee.level != level { throw outOfTurn() }
    }

    @inline(__always)
    func writeKey(_ key: String, _ level: Int) throws {
        try check(level)
        var key = key
        let offset = core.pointee.bytes.count
        levels[level].lastKey = offset
        levels[level].members &+= 1
        guard offset < CompactForm.byteLimit else {
            throw CodecError.tooLarge(limit: CompactForm.byteLimit)
        }
        key.withUTF8 { text in
            core.pointee.bytes.appendString(.text, UnsafeRawBufferPointer(text))
            if let start = text.baseAddress {
                core.pointee.ledger.note(start, length: text.count, offset: offset)
            } else {
                core.pointee.ledger.note(core.pointee.bytes.base, length: 0, offset: offset)
            }
        }
    }

    @inline(__always)
    func nextElement(_ level: Int) throws {
        try check(level)
        levels[level].members &+= 1
    }

    /// Takes a key and its value back: the value's own code threw, and the caller may go on.
    func unwriteMember(_ level: Int, isMap: Bool) {
        levels[level].members -= 1
        if isMap {
            core.pointee.bytes.truncate(to: levels[level].lastKey)
            core.pointee.ledger.truncate(to: core.pointee.ledger.count - 1)
        }
    }

    @inline(__always)
    func takeSingle(_ level: Int) throws {
        try check(level)
        guard levels[level].form == .none else {
            levels[level].form = .confused
            throw CodecError.unsupported(
                path: CodecError.path(path(to: level)),
                reason: "it is written both as one form and as another")
        }
        levels[level].form = .single
    }

    private func outOfTurn() -> CodecError {
        .unsupported(
            path: CodecError.path(path(to: core.pointee.level)),
            reason: "a container is used after its value was complete, or inside another value")
    }
}

// MARK: - Parts

extension CompactWriting {
    /// A writing of its own for a value that goes in here later. Never fails by itself: a value
    /// too deep says so when the value around it is complete.
    func part(_ level: Int) -> CompactWriting {
        let part = core.pointee.spare.popLast() ?? CompactWriting()
        part.around = self
        part.place = (level, levels[level])
        part.core.pointee.isJSON = core.pointee.isJSON
        part.core.pointee.depth = levels[level].depth + 1
        part.open(0)
        core.pointee.parts.append(Part(offset: core.pointee.bytes.count, writing: part))
        return part
    }

    /// Moves each part to its place; every byte moves at most once.
    private func insertParts(from first: Int) throws {
        var total = 0
        for part in core.pointee.parts[first...] {
            guard part.writing.core.pointee.depth <= CompactForm.depthLimit else {
                throw CodecError.tooDeep(limit: CompactForm.depthLimit)
            }
            try part.writing.close(0)
            total += part.writing.core.pointee.bytes.count
        }
        var source = core.pointee.bytes.count
        _ = core.pointee.bytes.reserve(total)
        var target = core.pointee.bytes.count
        let base = core.pointee.bytes.base
        while core.pointee.parts.count > first {
            let offset = core.pointee.parts[core.pointee.parts.count - 1].offset
            let part = core.pointee.parts.removeLast().writing
            target -= source - offset
            memmove(base + target, base + offset, source - offset)
            source = offset
            let length = part.core.pointee.bytes.count
            target -= length
            memcpy(base + target, part.core.pointee.bytes.base, length)
            keep(part)
        }
    }

    /// Drops parts that go nowhere, and those in them: each refers to the one around it, so only
    /// this ends the circle. Their containers are closed with them.
    private func discardParts(from first: Int) {
        guard core.pointee.parts.count > first else { return }
        var dropped = Array(core.pointee.parts[first...])
        core.pointee.parts.removeSubrange(first...)
        while let part = dropped.popLast()?.writing {
            dropped += part.core.pointee.parts
            part.core.pointee.parts = []
            part.core.pointee.level = -1
            part.around = nil
        }
    }

    /// Keeps a part for the next value, unless a container of it is still in somebody's hands.
    private func keep(_ part: consuming CompactWriting) {
        part.around = nil
        guard isKnownUniquelyReferenced(&part), core.pointee.spare.count < Self.spareLimit else {
            return
        }
        part.core.pointee.bytes.removeAll()
        part.core.pointee.bytes.shrink(toCapacity: Self.keptCapacity)
        part.core.pointee.ledger.removeAll()
        part.core.pointee.failurePath = nil
        core.pointee.spare.append(part)
    }
}

// MARK: - Where we are

extension CompactWriting {
    /// The keys that lead to the value of `level`, read back from what was written.
    func path(to level: Int) -> [any CodingKey] {
        var path: [any CodingKey] = []
        if let around {
            path = around.path(to: place.level)
            around.appendStep(place.value, to: &path)
        }
        for outer in 0..<max(level, 0) { appendStep(levels[outer], to: &path) }
        return path
    }

    private func appendStep(_ value: Level, to path: inout [any CodingKey]) {
        switch value.form {
        case .map where value.members > 0:
            let items = CompactItems(
                base: core.pointee.bytes.base, count: core.pointee.bytes.count)
            guard value.lastKey < items.count else { return }
            path.append(
                CodecKey(
                    stringValue: String(
                        decoding: items.string(at: value.lastKey), as: UTF8.self)))
        case .array where value.members > 0:
            path.append(CodecKey(intValue: value.members - 1))
        default: break
        }
    }
}
