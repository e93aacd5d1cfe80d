import PetioleStorage

/// The unique keys of jobs that are enqueued together, in their order: each may have one. Made by who enqueues, then the
/// writer's.
final class UniqueKeyList {
    private var list = List()

    /// What a job's rule says in a byte.
    struct Rule: Sendable {
        fileprivate var byte: UInt8
        /// Nil: it has no key.
        var kind: UniqueHold.Kind? { UniqueHold.Kind(rawValue: byte & 0x7F) }
        var refuses: Bool { byte & 0x80 != 0 }
    }

    /// In one value, so that adding a job is one access to this object.
    private struct List: ~Copyable {
        /// Rows of `unique`, end to end: room for the name's number, and the key.
        var rows = ByteWriter(capacity: 0)
        /// For each job, where its row ends.
        var ends: [UInt32] = []
        var rules: [Rule] = []
        var holdsUntilStarted = false
        /// How many jobs have been added, with a key or without.
        var count = 0

        mutating func append(_ rule: Uniqueness?, _ hold: UniqueHold?) {
            count += 1
            guard rule != nil || !rules.isEmpty else { return }
            while rules.count < count - 1 { addNone() }
            guard let rule, let hold else { return addNone() }
            if hold.kind == .untilStarted { holdsUntilStarted = true }
            rows.append(bigEndian: UInt32(0))
            var key = rule.key
            key.withUTF8 { rows.append(contentsOf: UnsafeRawBufferPointer($0)) }
            ends.append(UInt32(rows.count))
            rules.append(
                Rule(byte: hold.kind.rawValue | (rule.onConflict == .refuse ? 0x80 : 0)))
        }

        private mutating func addNone() {
            ends.append(UInt32(rows.count))
            rules.append(Rule(byte: 0))
        }
    }

    var holdsUntilStarted: Bool { list.holdsUntilStarted }
    /// No job has a key.
    var isEmpty: Bool { list.rules.isEmpty }
    /// What the rows take in their table, about.
    var rowBytes: Int { list.rows.count + list.rules.count * 150 }

    /// Adds the next job, and how its rule holds its key.
    func append(_ rule: Uniqueness?, _ hold: UniqueHold?) { list.append(rule, hold) }

    /// Lends the row of each job that has a key, as one of the name, until `body` returns false.
    /// - Parameter body: is told the job's place.
    func forEachRow(
        of name: UInt32,
        _ body: (Int, UnsafeRawBufferPointer, Rule) throws(StorageError) -> Bool
    ) throws(StorageError) {
        var start = 0
        for index in 0..<list.rules.count {
            let end = Int(list.ends[index])
            defer { start = end }
            if start == end { continue }
            UnsafeMutableRawPointer(list.rows.base + start)
                .storeBytes(of: name.bigEndian, as: UInt32.self)
            let row = UnsafeRawBufferPointer(start: list.rows.base + start, count: end - start)
            guard try body(index, row, list.rules[index]) else { return }
        }
    }
}
