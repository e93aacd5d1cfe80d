/// The bytes of one of the system's files of time zones, taken apart.
/// - Source: RFC 9636 (TZif), versions 2 to 4; what version 1 alone can say ends in 2038 and is not read.
struct TimeZoneFile {
    /// When clocks were set, in seconds since 1970, in their order.
    private(set) var transitions: [Int64] = []
    /// What they were set to, and before the first the first entry: one more than ``transitions``. Seconds east of Greenwich.
    private(set) var offsets: [Int32] = [0]
    /// How it goes on behind the last.
    private(set) var rest: TimeZoneRule?

    /// Nil: it is no such file, or was cut or changed.
    init?(_ bytes: [UInt8]) {
        var reader = Reader(bytes)
        guard let first = reader.header(), first.version >= UInt8(ascii: "2") else { return nil }
        reader.skip(first.bodyBytes(timeBytes: 4))
        guard let header = reader.header() else { return nil }
        guard let transitions = reader.list(header.times, { $0.integer(Int64.self) }),
            let kinds = reader.list(header.times, { $0.integer(UInt8.self) }),
            let types = reader.list(
                header.types,
                { reader -> Int32? in
                    let offset = reader.integer(Int32.self)
                    reader.skip(2)
                    return offset
                })
        else { return nil }
        reader.skip(
            header.characters + header.leapSeconds * 12 + header.standard + header.universal)
        guard !types.isEmpty, kinds.allSatisfy({ Int($0) < types.count }),
            types.allSatisfy({ abs(Int($0)) <= 26 * 3_600 }),
            zip(transitions, transitions.dropFirst()).allSatisfy({ $0 < $1 }),
            let footer = reader.footer()
        else { return nil }
        self.transitions = transitions
        offsets = [types[0]] + kinds.map { types[Int($0)] }
        if !footer.isEmpty {
            guard let rule = TimeZoneRule(footer) else { return nil }
            rest = rule
        }
    }

    private struct Header {
        var version: UInt8
        var universal, standard, leapSeconds, times, types, characters: Int

        func bodyBytes(timeBytes: Int) -> Int {
            times * (timeBytes + 1) + types * 6 + characters + leapSeconds * (timeBytes + 4)
                + standard + universal
        }
    }

    private struct Reader {
        private var rest: ArraySlice<UInt8>

        init(_ bytes: [UInt8]) { rest = bytes[...] }

        /// What is missing is noticed by the next read.
        mutating func skip(_ count: Int) { rest = rest.dropFirst(count) }

        /// Big-endian.
        mutating func integer<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
            let count = Value.bitWidth / 8
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count).reduce(0) { $0 << 8 | Value(truncatingIfNeeded: $1) }
        }

        mutating func list<Value>(_ count: Int, _ one: (inout Reader) -> Value?) -> [Value]? {
            guard count <= rest.count else { return nil }
            var list: [Value] = []
            for _ in 0..<count {
                guard let value = one(&self) else { return nil }
                list.append(value)
            }
            return list
        }

        mutating func header() -> Header? {
            guard rest.starts(with: "TZif".utf8) else { return nil }
            rest = rest.dropFirst(4)
            guard let version = integer(UInt8.self) else { return nil }
            skip(15)
            guard let counts = list(6, { $0.integer(UInt32.self) }),
                // No zone has as many of anything, and sums of them fit.
                counts.allSatisfy({ $0 < 1 << 20 })
            else { return nil }
            let numbers = counts.map { Int($0) }
            return Header(
                version: version, universal: numbers[0], standard: numbers[1],
                leapSeconds: numbers[2], times: numbers[3], types: numbers[4],
                characters: numbers[5])
        }

        /// Between two line ends.
        mutating func footer() -> String? {
            guard rest.first == UInt8(ascii: "\n"),
                let end = rest.dropFirst().firstIndex(of: UInt8(ascii: "\n"))
            else { return nil }
            return String(decoding: rest.dropFirst().prefix(upTo: end), as: UTF8.self)
        }
    }
}
