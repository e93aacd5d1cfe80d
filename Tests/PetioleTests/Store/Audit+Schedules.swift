import PetioleStorage

@testable import Petiole

/// What a store holds of schedules, and whether it holds together.
struct AuditedSchedules {
    private(set) var problems: [String] = []

    init(_ reader: Reader, _ tables: StoreTables) throws(StorageError) {
        var due: [String: [Int64]] = [:]
        for (_, record) in try JobStore.queueRows(reader, tables) {
            try ScheduleRows.forEachDue(in: record.id, reader, tables) { time, name in
                due[name, default: []].append(time)
                return true
            }
        }
        for name in try ScheduleRows.names(from: "", reader, tables) {
            let times = due.removeValue(forKey: name) ?? []
            guard let state = try ScheduleRows.state(name, reader, tables) else {
                problems.append("schedule \(name) has no state")
                continue
            }
            if times != (state.due == 0 ? [] : [state.due]) {
                problems.append(
                    "schedule \(name) is due at \(state.due), and its rows say \(times)")
            }
            if state.isPaused || state.isDisabled, state.due != 0 {
                problems.append("schedule \(name) does not go on, and is due")
            }
            if let next = state.next, next <= state.lastPlanned {
                problems.append(
                    "schedule \(name) comes at \(next), not behind \(state.lastPlanned)")
            }
            let rest = state.next != nil || state.plansAfter != 0
            if !state.isPaused, !state.isDisabled, rest, state.due == 0 {
                problems.append("schedule \(name) has times to come, and is not due")
            }
        }
        for name in due.keys { problems.append("schedule \(name) is due, and is not there") }
    }
}
