/// Makes attempts in child processes: a worker's thread waits there for its child.
// What guards it: as its superclass; what it adds never changes.
final class IsolatedEntry: JobEntry, @unchecked Sendable {
    private let settings: ChildSettings
    /// So many children that were just started may end before they have begun with a job: else it would be tried for ever.
    private static let stillbornLimit = 3

    /// - Parameter entry: of the same type, as it is performed in the child.
    init(_ entry: JobEntry, in settings: ChildSettings) throws(RunnerError) {
        let isServed = ServedJobs.contains(entry.name)
        if let problem = settings.problem(isServed: isServed) {
            throw .invalidOption(job: entry.name, problem)
        }
        self.settings = settings.resolved
        super.init(entry, kind: .isolated)
    }

    override func perform(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> Performance {
        // The child has a view of its own.
        endView()
        var stillborn = 0
        while true {
            let children = context.runner.children
            try throwIfStopped(context)
            let child = try children.take(settings)
            let isNew = child.jobs == 0
            do { try throwIfStopped(context) } catch {
                // While it was started.
                children.give(child)
                throw error
            }
            switch attempt(in: child, context) {
            case .succeeded(let frame):
                children.give(child)
                return try succeed(frame, context, into: &result)
            case .threw(let error):
                children.give(child)
                throw error
            case .stopped:
                children.give(child)
                throw CancellationError()
            case .cannot(let reason):
                children.give(child)
                throw ChildProcessEnded(.unfit(reason: reason))
            case .garbled:
                _ = child.end(by: .now)
                clearAway(context)
                throw ChildProcessEnded(.unfit(reason: "its process said what is no answer"))
            case .ended:
                let end = child.end()
                let hadBegun = context.slot.flags & AttemptSlot.begun != 0
                clearAway(context)
                try throwIfStopped(context)
                if isNew { stillborn += 1 }
                // It died while it had nothing to do, which is not this job's fault.
                if !hadBegun, stillborn < Self.stillbornLimit { continue }
                throw end
            }
        }
    }

    private func attempt(in child: ServingChild, _ context: JobContext) -> ServingChild.Answer {
        let id = context.id.rawValue
        let slot = context.slot
        let runner = context.runner
        slot.setChild(
            pid: child.process.pid, group: child.process.processGroup,
            startTime: child.process.startTime)
        child.begin(id)
        let deadlines = runner.deadlines
        let grace = runner.children.stopGrace
        @Sendable func stop() {
            // The mark in the slot is looked at in the child; that the runner stops, it is told.
            let kind: ChildOrder.Kind = runner.stopsNow ? .stopAll : .stop
            child.ask(ChildOrder(kind, job: id), grace: deadlines.endsLater(id) ? nil : grace)
        }
        runner.stoppables.add(id, startedAt: slot.startedAt, stop) { child.kill(id) }
        defer {
            runner.stoppables.remove(id)
            child.finish()
        }
        // What came before it could be found.
        if deadlines.hardPassed(id) != nil { child.kill(id) } else if context.isCancelled { stop() }
        return child.run(
            ChildRequest(
                job: id, attempt: UInt32(context.attempt),
                slot: UInt32(runner.store.slots.index(of: slot)),
                clocks: ClockShift(runner.store.clock)), runner)
    }

    /// Who was asked to stop, or ended for it, has not failed by itself.
    private func throwIfStopped(_ context: JobContext) throws {
        if let limit = context.runner.deadlines.hardPassed(context.id.rawValue) {
            throw TimeLimitExceeded(limit: limit, wasKilled: true)
        }
        if context.isCancelled { throw CancellationError() }
    }

    private func succeed(
        _ frame: ChildFrame, _ context: JobContext, into result: inout ByteWriter
    ) throws -> Performance {
        if !frame.rest.isEmpty {
            let effects: AttemptEffects
            do {
                effects = try ChildEffects.decode(
                    frame.rest, job: context.id.rawValue, attempt: context.attempt,
                    in: context.runner.store)
            } catch {
                throw ChildProcessEnded(.unfit(reason: "its effects cannot be read: \(error)"))
            }
            try context.effects.add(
                job: context.id.rawValue, attempt: context.attempt, bytes: effects.byteCount
            ) {
                $0 = effects
                // Counted already.
                return 0
            }
        }
        frame.result.withUnsafeBytes { result.append(contentsOf: $0) }
        return .succeeded(codec: frame.codec)
    }

    /// What a child that has died may have left in what processes share.
    private func clearAway(_ context: JobContext) {
        let store = context.runner.store
        store.environment.clearDeadReaders()
        store.progress.withLock { $0 }?.mend(store.slots.index(of: context.slot))
    }
}
