import PetioleStorage

/// How schedules lie in `schedules`.
///
/// | key | value |
/// |---|---|
/// | `n`, name | ``ScheduleDefinition`` |
/// | `s`, name | ``ScheduleState`` |
/// | `t`, queue (4), when it is due (8), name | 0 (1): a schedule that is not paused and has a time to come |
/// | `p`, program, 0, name | 0 (1): one that a program declares |
enum ScheduleRows {
    private static let definitions = UInt8(ascii: "n")
    private static let states = UInt8(ascii: "s")
    private static let due = UInt8(ascii: "t")
    private static let programs = UInt8(ascii: "p")

    private static func key(_ kind: UInt8, _ name: String) -> [UInt8] { [kind] + Array(name.utf8) }

    // MARK: One

    static func definition(
        _ name: String, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> ScheduleDefinition? {
        try row(definitions, name, transaction, tables) { (bytes) throws(FormatError) in
            try ScheduleDefinition(bytes)
        }
    }

    static func state(
        _ name: String, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> ScheduleState? {
        try row(states, name, transaction, tables) { (bytes) throws(FormatError) in
            try ScheduleState(bytes)
        }
    }

    /// A row of a schedule; what is wrong with it says whose it is.
    private static func row<Value>(
        _ kind: UInt8, _ name: String, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables, _ read: (UnsafeRawBufferPointer) throws(FormatError) -> Value
    ) throws(StorageError) -> Value? {
        let found = try withBytes(key(kind, name)) { (key) throws(StorageError) in
            try transaction.value(tables.schedules, key)
        }
        guard let found else { return nil }
        do throws(FormatError) { return try read(found) } catch {
            throw .damaged("schedule \"\(visible(name))\": \(error.description)")
        }
    }

    static func both(
        _ name: String, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> (ScheduleDefinition, ScheduleState)? {
        guard let definition = try definition(name, transaction, tables),
            let state = try state(name, transaction, tables)
        else { return nil }
        return (definition, state)
    }

    static func put(
        _ definition: ScheduleDefinition, _ name: String, _ transaction: inout WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) {
        try put(key(definitions, name), definition.bytes, &transaction, tables)
        if !definition.program.isEmpty {
            try put(programKey(definition.program, name), [0], &transaction, tables)
        }
    }

    /// Writes how far a schedule is, and moves its row among the due ones there.
    /// - Parameters:
    ///   - due: when it is looked at next; nil: not by itself.
    ///   - before: as it was read, so that its row is found.
    static func put(
        _ schedule: ScheduleState, _ name: String, due: Int64?, before: ScheduleState?,
        in queue: UInt32, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        var schedule = schedule
        if let before { try removeDue(before.due, name, in: queue, &transaction, state.tables) }
        schedule.due = 0
        if let due {
            // 0 says that there is none.
            schedule.due = max(1, due)
            try put(dueKey(queue, schedule.due, name), [0], &transaction, state.tables)
            state.hasSetTimer = true
        }
        try put(key(states, name), schedule.bytes, &transaction, state.tables)
    }

    static func removeDue(
        _ time: Int64, _ name: String, in queue: UInt32, _ transaction: inout WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) {
        // 0 says that there is none; less is damage.
        if time > 0 { try delete(dueKey(queue, time, name), &transaction, tables) }
    }

    /// Deletes all rows of a schedule.
    static func remove(
        _ name: String, _ definition: ScheduleDefinition, in queue: UInt32,
        _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        if let state = try state(name, transaction, tables) {
            try removeDue(state.due, name, in: queue, &transaction, tables)
        }
        try delete(key(states, name), &transaction, tables)
        try delete(key(definitions, name), &transaction, tables)
        if !definition.program.isEmpty {
            try delete(programKey(definition.program, name), &transaction, tables)
        }
    }

    /// Deletes what is found by the name of a schedule that cannot be read. A row among the due ones goes when it is met.
    static func removeDamaged(
        _ name: String, _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        try delete(key(states, name), &transaction, tables)
        try delete(key(definitions, name), &transaction, tables)
    }

    private static func put(
        _ key: [UInt8], _ value: [UInt8], _ transaction: inout WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) {
        try withBytes(value) { (value) throws(StorageError) in
            try withBytes(key) { (key) throws(StorageError) in
                try transaction.put(tables.schedules, key, value)
            }
        }
    }

    private static func delete(
        _ key: [UInt8], _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        _ = try withBytes(key) { (key) throws(StorageError) in
            try transaction.delete(tables.schedules, key)
        }
    }

    // MARK: What is due

    private static func dueKey(_ queue: UInt32, _ time: Int64, _ name: String) -> [UInt8] {
        duePrefix(queue) + bigEndian(UInt64(time)) + Array(name.utf8)
    }

    private static func duePrefix(_ queue: UInt32) -> [UInt8] { [due] + bigEndian(queue) }

    private static func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    /// Schedules whose jobs go to a queue, in the order in which they are due.
    /// - Parameter visit: returns whether to go on.
    static func forEachDue(
        in queue: UInt32, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables, _ visit: (_ time: Int64, _ name: String) -> Bool
    ) throws(StorageError) {
        let prefix = duePrefix(queue)
        let cursor = try transaction.cursor(tables.schedules)
        var entry = try withBytes(prefix) { (key) throws(StorageError) in try cursor.ceiling(key) }
        while let (key, _) = entry, key.count > 13, key.starts(with: prefix) {
            let time = Int64(clamping: key.bigEndian(at: 5, as: UInt64.self))
            guard visit(time, String(decoding: key[13...], as: UTF8.self)) else { return }
            entry = try cursor.next()
        }
    }

    /// When the first one of a queue is due; nil: none is.
    static func firstDue(
        in queue: UInt32, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> Int64? {
        var first: Int64?
        try forEachDue(in: queue, transaction, tables) { time, _ in
            first = time
            return false
        }
        return first
    }

    /// Reads a row of whatever kind, for whoever looks for damage.
    static func check(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws(FormatError) {
        do throws(FormatError) {
            switch key.first {
            case definitions: _ = try ScheduleDefinition(value)
            case states: _ = try ScheduleState(value)
            case due, programs: break
            default: throw FormatError("its key is of no known kind")
            }
        } catch {
            let name = String(decoding: key.dropFirst(), as: UTF8.self)
            throw FormatError("schedule \"\(visible(name))\": \(error.description)")
        }
    }

    // MARK: Lists

    private static func programKey(_ program: String, _ name: String) -> [UInt8] {
        key(programs, program) + [0] + Array(name.utf8)
    }

    /// The names of all schedules, in their order, from one on.
    /// - Returns: 1,000 at most.
    static func names(
        from name: String, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> [String] {
        try names(from: key(definitions, name), with: [definitions], 1_000, transaction, tables)
    }

    /// Those that a program declares.
    static func names(
        of program: String, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> [String] {
        let prefix = programKey(program, "")
        return try names(from: prefix, with: prefix, .max, transaction, tables)
    }

    private static func names(
        from start: [UInt8], with prefix: [UInt8], _ most: Int,
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> [String] {
        var names: [String] = []
        let cursor = try transaction.cursor(tables.schedules)
        var entry = try withBytes(start) { (key) throws(StorageError) in try cursor.ceiling(key) }
        while let (key, _) = entry, key.starts(with: prefix), names.count < most {
            names.append(String(decoding: key[prefix.count...], as: UTF8.self))
            entry = try cursor.next()
        }
        return names
    }
}
