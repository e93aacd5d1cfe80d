import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What `pause` and `resume` do with single jobs: a command that runs is suspended, what has not started is held.
struct HoldJobs {
    let store: JobStore
    let json: Bool

    /// One answer for each.
    func set(paused: Bool, _ ids: [JobID]) async throws {
        var missing: JobID?
        var silent: (id: JobID, pid: Int)?
        for id in ids {
            let answer: JobChoice.Answer
            do {
                answer = try await paused ? pause(id) : resume(id)
            } catch let error as Unanswered {
                silent = silent ?? (id, error.pid)
                answer = Unanswered.answer(error.pid)
            } catch StoreError.noSuchJob {
                missing = missing ?? id
                if json { tell(id, "missing") }
                continue
            }
            if json {
                tell(id, answer.result)
            } else {
                Standard.output.line(
                    "\(id) \(answer.result)\(answer.note.map { ", \($0)" } ?? "")")
            }
        }
        if let missing { throw Failure(StoreError.noSuchJob(missing)) }
        if let silent { throw Unanswered.failure(silent.id, silent.pid) }
    }

    private func tell(_ id: JobID, _ result: String) {
        var line = JSONLine()
        line.add("id", Int(clamping: id.rawValue))
        line.add("result", result)
        Standard.output.line(line.line)
    }

    private func pause(_ id: JobID) async throws -> JobChoice.Answer {
        switch try await store.hold(id) {
        case .held: return JobChoice.Answer(result: "held", note: "it does not start")
        case .ended: return "ended"
        case .awaiting:
            return JobChoice.Answer(result: "awaiting", note: "it waits for others of its workflow")
        case .unanswered(let pid): throw Unanswered(pid: pid)
        case .started: break
        }
        guard let process = store.commandProcess(of: id) else {
            return JobChoice.Answer(
                result: "running", note: "and is no command, or not one yet: it cannot be suspended"
            )
        }
        if process.isSuspended { return "suspended" }
        return try SignalName.check(process.suspend(), id)
            ? JobChoice.Answer(result: "suspended", note: "time limits go on") : "ended"
    }

    private func resume(_ id: JobID) async throws -> JobChoice.Answer {
        switch try await store.release(id) {
        case .released: return "resumed"
        case .awaiting:
            return JobChoice.Answer(result: "resumed", note: "it waits for others still")
        case .notHeld: break
        }
        guard let process = store.commandProcess(of: id), process.isSuspended else {
            return "not paused"
        }
        return try SignalName.check(process.signalGroup(SIGCONT), id) ? "resumed" : "ended"
    }
}

/// The process that runs a job's queue has not said whether it runs the job.
struct Unanswered: Error {
    let pid: Int

    static func answer(_ pid: Int) -> JobChoice.Answer {
        JobChoice.Answer(result: "no answer", note: pid == 0 ? nil : "from process \(pid)")
    }

    static func failure(_ id: JobID, _ pid: Int) -> Failure {
        let process = pid == 0 ? "its worker" : "process \(pid)"
        return Failure(
            """
            \(process), which runs the queue, did not say within 10 s whether it runs job \(id): nothing was changed
            is it suspended? let it go on\(pid == 0 ? "" : ": kill -CONT \(pid)"), and try again
            """, status: 75)
    }
}
