import Logging
import PetioleStorage

// Declared schedules
//
// A program says which schedules it has when its runner starts, and has a name by which those are told from others'. In one
// transaction each start brings the store in line with that: what is new is added, what differs is changed, what is not declared
// any more is disabled. How far a schedule is stays, so that what was missed while the program was away is found out as ever, and
// so does a pause. What other programs declare, or was added at run time, is not touched.

/// What a start of a declaring program does to its schedules.
struct DeclaredSchedules: Sendable {
    struct One: Sendable {
        var name: String
        var definition: ScheduleDefinition
        var own: (@Sendable (WallTime) -> WallTime?)?
    }
    let program: String
    private(set) var all: [One] = []
    /// Those rules that are the program's own, by their schedules.
    private(set) var ownRules: [String: @Sendable (WallTime) -> WallTime?] = [:]

    /// What was done, for the log.
    enum Step: Sendable {
        case added(String, next: Int64?)
        case changed(String, next: Int64?)
        case disabled(String)
    }

    /// Checks all of them; the store is not touched.
    init(
        _ schedules: [Schedule], program: String, in store: JobStore
    ) throws(ScheduleError) {
        self.program = program
        let now = store.open.clock.now
        var names: Set<String> = []
        for schedule in schedules {
            let definition = try ScheduleDefinition(schedule, program: program, in: store)
            var own: (@Sendable (WallTime) -> WallTime?)?
            if case .own(let rule) = schedule.rule { own = rule }
            // What was to be once and has been is no error the next time.
            _ = try definition.plan(named: schedule.name, anchor: now, own: own)
            if !names.insert(schedule.name).inserted {
                throw .exists(schedule: schedule.name, program: program)
            }
            ownRules[schedule.name] = own
            all.append(One(name: schedule.name, definition: definition, own: own))
        }
    }

    /// Brings the store in line, and says in the log what that was. A store that is full goes on with what is in it.
    func reconcile(_ store: OpenStore, _ logger: Logger) async throws(ScheduleError) {
        let result: Result<[Step], ScheduleError>
        do throws(StoreError) {
            let bytes = try store.read { (reader) throws(StorageError) in
                try bytesThatDiffer(reader, store.tables)
            }
            guard let bytes else { return }
            result = try await store.perform(bringing: bytes) {
                (transaction, state) throws(StorageError) in
                try reconcile(&transaction, &state)
            }
        } catch {
            switch error {
            case .full, .diskFull:
                logger.warning(
                    "schedules are not brought in line: there is no room",
                    metadata: ["program": "\(program)", "error": "\(error)"])
                return
            default: throw .store(error)
            }
        }
        for step in try result.get() { step.log(logger, program) }
    }

    /// Bytes of the definitions that differ from what is stored; nil: nothing differs.
    private func bytesThatDiffer(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> Int? {
        var bytes: Int?
        for one in all {
            let found = try Self.readable { () throws(StorageError) in
                try ScheduleRows.both(one.name, reader, tables)
            }
            if let (definition, state) = found, definition.program == program,
                definition.bytes == one.definition.bytes, !state.isDisabled, state.plansAfter == 0
            {
                continue
            }
            bytes = (bytes ?? 4_096) + 1_024 + one.definition.job.content.count
        }
        let declared = Set(all.map { $0.name })
        for name in try ScheduleRows.names(of: program, reader, tables)
        where bytes == nil && !declared.contains(name) {
            let state = try Self.readable { () throws(StorageError) in
                try ScheduleRows.state(name, reader, tables)
            }
            // What is only disabled brings nothing.
            if state?.isDisabled == false { bytes = 0 }
        }
        return bytes
    }

    /// What is damaged is as if it was not there: it is declared anew.
    private static func readable<Value>(
        _ body: () throws(StorageError) -> Value?
    ) throws(StorageError) -> Value? {
        do throws(StorageError) { return try body() } catch {
            guard case .damaged = error else { throw error }
            return nil
        }
    }

    private func reconcile(
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Result<[Step], ScheduleError> {
        let tables = state.tables
        // Nothing is changed before it is known that all can be.
        for one in all {
            let found = try Self.readable { () throws(StorageError) in
                try ScheduleRows.definition(one.name, transaction, tables)
            }
            guard let found, found.program != program else { continue }
            return .failure(
                .exists(schedule: one.name, program: found.program.isEmpty ? nil : found.program))
        }
        var steps: [Step] = []
        for one in all {
            if let step = try put(one, &transaction, &state) { steps.append(step) }
        }
        let declared = Set(all.map { $0.name })
        for name in try ScheduleRows.names(of: program, transaction, tables)
        where !declared.contains(name) {
            let found = try Self.readable { () throws(StorageError) in
                try ScheduleRows.both(name, transaction, tables)
            }
            guard let (definition, before) = found, !before.isDisabled else { continue }
            var after = before
            after.isDisabled = true
            let queue = try state.queue(named: definition.job.queueName, &transaction).id
            try ScheduleRows.put(
                after, name, due: nil, before: before, in: queue, &transaction, &state)
            steps.append(.disabled(name))
        }
        // Stewards of other runners look too.
        state.controlMoved = state.controlMoved || !steps.isEmpty
        return .success(steps)
    }

    private func put(
        _ one: One, _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Step? {
        let tables = state.tables
        let queue = try state.queue(named: one.definition.job.queueName, &transaction).id
        let found = try Self.readable { () throws(StorageError) in
            try ScheduleRows.both(one.name, transaction, tables)
        }
        guard let (definition, before) = found else {
            var after = ScheduleState(anchor: state.now)
            let due = after.goOn(one.definition, one.name, from: state.now, own: one.own)
            try ScheduleRows.put(one.definition, one.name, &transaction, tables)
            try ScheduleRows.put(
                after, one.name, due: due, before: nil, in: queue, &transaction, &state)
            return .added(one.name, next: after.next)
        }
        let isSame = definition.isSame(as: one.definition)
        if definition.bytes == one.definition.bytes, !before.isDisabled, before.plansAfter == 0 {
            return nil
        }
        let old = try state.queue(named: definition.job.queueName, &transaction).id
        try ScheduleRows.removeDue(before.due, one.name, in: old, &transaction, tables)
        try ScheduleRows.put(one.definition, one.name, &transaction, tables)
        var after = before
        let due = after.change(
            from: definition, to: one.definition, one.name, now: state.now, own: one.own)
        try ScheduleRows.put(
            after, one.name, due: after.isPaused ? nil : due, before: nil, in: queue, &transaction,
            &state)
        return isSame && !before.isDisabled ? nil : .changed(one.name, next: after.next)
    }
}

extension DeclaredSchedules.Step {
    fileprivate func log(_ logger: Logger, _ program: String) {
        func metadata(_ name: String, _ next: Int64? = nil) -> Logger.Metadata {
            var metadata: Logger.Metadata = ["schedule": "\(name)", "program": "\(program)"]
            if let next { metadata["next"] = "\(WallTime(microseconds: next))" }
            return metadata
        }
        switch self {
        case .added(let name, let next):
            logger.notice("schedule added", metadata: metadata(name, next))
        case .changed(let name, let next):
            logger.notice("schedule changed", metadata: metadata(name, next))
        case .disabled(let name):
            logger.notice(
                "schedule disabled: the program does not declare it any more",
                metadata: metadata(name))
        }
    }
}
