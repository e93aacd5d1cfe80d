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
        for schedule in schedules {
            let definition = try ScheduleDefinition(schedule, program: program, in: store)
            var own: (@Sendable (WallTime) -> WallTime?)?
            if case .own(let rule) = schedule.rule { own = rule }
            // What was to be once and has been is no error the next time.
            _ = try definition.plan(named: schedule.name, anchor: now, own: own)
            if all.contains(where: { $0.name == schedule.name }) {
                throw .exists(schedule: schedule.name, program: program)
            }
            ownRules[schedule.name] = own
            all.append(One(name: schedule.name, definition: definition, own: own))
        }
    }

    /// Brings the store in line, and says in the log what that was.
    func reconcile(_ store: OpenStore, _ logger: Logger) async throws(ScheduleError) {
        let size = all.reduce(4_096) { $0 + 1_024 + $1.definition.job.content.count }
        let result: Result<[Step], ScheduleError>
        do throws(StoreError) {
            result = try await store.perform(bringing: size) {
                (transaction, state) throws(StorageError) in
                try reconcile(&transaction, &state)
            }
        } catch { throw .store(error) }
        for step in try result.get() { step.log(logger, program) }
    }

    private func reconcile(
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) -> Result<[Step], ScheduleError> {
        let tables = state.tables
        // Nothing is changed before it is known that all can be.
        for one in all {
            guard let found = try ScheduleRows.definition(one.name, transaction, tables) else {
                continue
            }
            if found.program != program {
                return .failure(
                    .exists(
                        schedule: one.name, program: found.program.isEmpty ? nil : found.program))
            }
        }
        var steps: [Step] = []
        for one in all {
            if let step = try put(one, &transaction, &state) { steps.append(step) }
        }
        let declared = Set(all.map { $0.name })
        for name in try ScheduleRows.names(of: program, transaction, tables)
        where !declared.contains(name) {
            guard let definition = try ScheduleRows.definition(name, transaction, tables),
                let before = try ScheduleRows.state(name, transaction, tables), !before.isDisabled
            else { continue }
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
        guard let found = try ScheduleRows.definition(one.name, transaction, tables),
            let before = try ScheduleRows.state(one.name, transaction, tables)
        else {
            var after = ScheduleState(anchor: state.now)
            let due = after.goOn(one.definition, one.name, from: state.now, own: one.own)
            try ScheduleRows.put(one.definition, one.name, &transaction, tables)
            try ScheduleRows.put(
                after, one.name, due: due, before: nil, in: queue, &transaction, &state)
            return .added(one.name, next: after.next)
        }
        let isSame = found.isSame(as: one.definition)
        if isSame, found == one.definition, !before.isDisabled, before.plansAfter == 0 {
            return nil
        }
        let old = try state.queue(named: found.job.queueName, &transaction).id
        try ScheduleRows.removeDue(before.due, one.name, in: old, &transaction, tables)
        try ScheduleRows.put(one.definition, one.name, &transaction, tables)
        var after = before
        after.isDisabled = false
        var due: Int64? = before.due == 0 ? nil : before.due
        if before.isDisabled || before.plansAfter != 0 || found.timing != one.definition.timing {
            if found.timing.rule != one.definition.timing.rule { after.anchor = state.now }
            let from = before.plansAfter == 0 ? state.now : before.plansAfter
            after.plansAfter = 0
            due = after.goOn(one.definition, one.name, from: from, own: one.own)
        }
        if after.isPaused { due = nil }
        try ScheduleRows.put(
            after, one.name, due: due, before: nil, in: queue, &transaction, &state)
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
