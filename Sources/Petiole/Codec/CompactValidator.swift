/// Walks a payload once and proves that it is well-formed, so that what reads it later need not ask
/// again. Trusts no length: every read is within the bytes, and the work is bounded by their count.
struct CompactValidator: ~Copyable {
    private let items: CompactItems
    private var position: Int

    private init(_ items: CompactItems) {
        self.items = items
        position = 0
    }

    /// - Parameters:
    ///   - ledger: empty; scratch for the keys.
    ///   - fences: empty; gets the ends of the larger containers.
    /// - Throws: ``CodecError/malformed(offset:reason:)``, ``CodecError/tooDeep(limit:)`` or
    ///   ``CodecError/tooLarge(limit:)``.
    @inline(__always)
    static func check(
        _ items: CompactItems, ledger: inout KeyLedger, fences: inout CompactFences
    ) throws(CodecError) {
        guard items.count <= CompactForm.byteLimit else {
            throw .tooLarge(limit: CompactForm.byteLimit)
        }
        var validator = CompactValidator(items)
        try validator.item(depth: 0, ledger: &ledger, fences: &fences)
        guard validator.position == items.count else {
            throw .malformed(offset: validator.position, reason: "there is more after the value")
        }
    }

    private mutating func item(
        depth: Int, ledger: inout KeyLedger, fences: inout CompactFences
    ) throws(CodecError) {
        let start = position
        let argument = try head()
        switch items.base[start] &>> 5 {
        case 0, 1:
            return
        case 2:
            try string(argument, from: start)
        case 3:
            try string(argument, from: start)
            try text(start, endingAt: position, length: Int(argument))
        case 4:
            guard argument <= UInt64(items.count &- position) else { throw tooLong(start) }
            guard depth < CompactForm.depthLimit else {
                throw .tooDeep(limit: CompactForm.depthLimit)
            }
            let fence = fences.open(start)
            for _ in 0..<Int(argument) {
                try item(depth: depth &+ 1, ledger: &ledger, fences: &fences)
            }
            fences.close(fence, length: position &- start)
        case 5:
            guard argument <= UInt64((items.count &- position) / 2) else { throw tooLong(start) }
            guard depth < CompactForm.depthLimit else {
                throw .tooDeep(limit: CompactForm.depthLimit)
            }
            let fence = fences.open(start)
            let firstKey = ledger.count
            for _ in 0..<Int(argument) {
                try key(ledger: &ledger)
                try item(depth: depth &+ 1, ledger: &ledger, fences: &fences)
            }
            if let twice = ledger.close(from: firstKey, in: items) {
                throw .malformed(offset: twice, reason: "a key is there a second time")
            }
            fences.close(fence, length: position &- start)
        case 6:
            throw .malformed(offset: start, reason: "a tag, which no payload has, stands")
        default:
            switch items.base[start] {
            case CompactForm.false, CompactForm.true, CompactForm.null, CompactForm.half,
                CompactForm.single, CompactForm.double:
                return
            default:
                throw .malformed(offset: start, reason: "an unknown simple value stands")
            }
        }
    }

    @inline(__always)
    private mutating func key(ledger: inout KeyLedger) throws(CodecError) {
        let start = position
        let argument = try head()
        guard items.base[start] &>> 5 == CompactForm.Kind.text.rawValue else {
            throw .malformed(offset: start, reason: "a key that is not text stands")
        }
        try string(argument, from: start)
        let length = Int(argument)
        try text(start, endingAt: position, length: length)
        ledger.note(items.base + (position &- length), length: length, offset: start)
    }

    /// Reads a head and moves past it.
    @inline(__always)
    private mutating func head() throws(CodecError) -> UInt64 {
        guard position < items.count else { throw cutShort() }
        let short = items.base[position] & 0x1F
        if short < 24 {
            position &+= 1
            return UInt64(short)
        }
        guard short < 28 else {
            throw .malformed(offset: position, reason: "an indefinite or reserved length stands")
        }
        guard 1 &<< (Int(short) &- 24) < items.count &- position else { throw cutShort() }
        let head = items.head(at: position)
        position = head.end
        return head.argument
    }

    @inline(__always)
    private mutating func string(_ length: UInt64, from start: Int) throws(CodecError) {
        guard length <= UInt64(items.count &- position) else { throw tooLong(start) }
        position &+= Int(length)
    }

    @inline(__always)
    private func text(_ start: Int, endingAt end: Int, length: Int) throws(CodecError) {
        guard UTF8Check.isValid(items.base + (end &- length), length) else {
            throw .malformed(offset: start, reason: "text that is not UTF-8 stands")
        }
    }

    private func cutShort() -> CodecError {
        .malformed(offset: items.count, reason: "the payload ends in the middle of the value")
    }

    private func tooLong(_ start: Int) -> CodecError {
        .malformed(offset: start, reason: "a length beyond the end of the payload stands")
    }
}

/// Where the containers of a payload end, for those worth remembering: skipping one is then a
/// search, not a walk, and asking for absent keys beside a large array stays cheap.
struct CompactFences {
    private struct Fence {
        let start: Int32
        var end: Int32
    }

    /// In ascending order of `start`.
    private var fences: [Fence] = []
    /// Walking this many bytes costs less than remembering them.
    private static let worthwhile = 64
    /// Kept from payload to payload: 32 KiB.
    private static let keptCapacity = 4_096

    @inline(__always)
    mutating func open(_ start: Int) -> Int {
        fences.append(Fence(start: Int32(truncatingIfNeeded: start), end: 0))
        return fences.count &- 1
    }

    /// A small container holds smaller ones, whose fences are gone already: its own is the last.
    @inline(__always)
    mutating func close(_ fence: Int, length: Int) {
        if length < Self.worthwhile {
            fences.removeLast()
        } else {
            fences[fence].end = fences[fence].start &+ Int32(truncatingIfNeeded: length)
        }
    }

    mutating func removeAll() {
        if fences.isEmpty { return }
        fences.removeAll(keepingCapacity: fences.capacity <= Self.keptCapacity)
    }

    /// Where the container that begins at `start` ends, if that was remembered.
    @inline(__always)
    func end(of start: Int) -> Int? {
        if fences.isEmpty { return nil }
        var low = 0
        var high = fences.count
        while low < high {
            let middle = (low &+ high) &>> 1
            if Int(fences[middle].start) < start { low = middle &+ 1 } else { high = middle }
        }
        guard low < fences.count, Int(fences[low].start) == start else { return nil }
        return Int(fences[low].end)
    }
}

/// Whether bytes are UTF-8: shortest forms only, no surrogates, nothing above U+10FFFF.
enum UTF8Check {
    @inline(__always)
    static func isValid(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var index = 0
        let raw = UnsafeRawPointer(bytes)
        while index &+ 8 <= count {
            let word = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if word & 0x8080_8080_8080_8080 != 0 { return isValid(bytes, from: index, count) }
            index &+= 8
        }
        while index < count {
            if bytes[index] >= 0x80 { return isValid(bytes, from: index, count) }
            index &+= 1
        }
        return true
    }

    /// - Source: the Unicode Standard, table 3-7, well-formed UTF-8 byte sequences.
    @inline(never)
    private static func isValid(
        _ bytes: UnsafePointer<UInt8>, from start: Int, _ count: Int
    ) -> Bool {
        var index = start
        while index < count {
            let first = bytes[index]
            index += 1
            if first < 0x80 { continue }
            let more: Int
            var second: ClosedRange<UInt8> = 0x80...0xBF
            switch first {
            case 0xC2...0xDF: more = 1
            case 0xE0: (more, second) = (2, 0xA0...0xBF)
            case 0xED: (more, second) = (2, 0x80...0x9F)
            case 0xE1...0xEF: more = 2
            case 0xF0: (more, second) = (3, 0x90...0xBF)
            case 0xF1...0xF3: more = 3
            case 0xF4: (more, second) = (3, 0x80...0x8F)
            default: return false
            }
            guard count - index >= more, second.contains(bytes[index]) else { return false }
            for next in 1..<max(more, 1) where !(0x80...0xBF).contains(bytes[index + next]) {
                return false
            }
            index += more
        }
        return true
    }
}
