import PetioleStorage

extension JobStore {
    /// What an enqueue told a job, as far as it is kept: a time that was given as a while is the instant that came of it, and what
    /// was to become of another job with its unique key is ``Uniqueness/Conflict/giveBack``.
    /// - Throws: ``StoreError/noSuchJob(_:)`` when it was pruned or never was.
    package func toldOptions(of id: JobID) throws(StoreError) -> EnqueueOptions {
        let open = open
        struct Found: Sendable {
            var queue: UInt32
            var priority: UInt8
            var meta: JobBlock.Meta
            var options: JobOptions
        }
        let found = try open.read { (reader) throws(StorageError) -> Found? in
            guard let block = try Lookup.block(id.rawValue, reader, open.tables) else { return nil }
            return try formatted { () throws(FormatError) in
                let entry = try block.entry(id.rawValue)
                return Found(
                    queue: block.queue, priority: block.priority, meta: entry.meta,
                    options: try entry.options())
            }
        }
        guard let found else { throw .noSuchJob(id) }
        let told = found.options
        func time(_ time: StoreTime) -> JobTime? { time.isNone ? nil : .at(open.shown(time)) }
        return EnqueueOptions(
            queue: try queueName(found.queue), priority: Int(found.priority),
            maxAttempts: found.meta.maxAttempts == 0 ? nil : Int(found.meta.maxAttempts),
            keepsResult: found.meta.flags & JobBlock.discardsResult == 0, due: time(told.due),
            expiry: time(told.expiry), unique: told.unique.map { Uniqueness($0) },
            metadata: told.metadata, timeLimit: told.timeLimit)
    }

    /// Makes the runners of this store look at their timers.
    package func lookAtTimers() { open.signals.work.ring() }
}

extension Uniqueness {
    fileprivate init(_ hold: UniqueHold) {
        self.init(key: String(decoding: hold.key, as: UTF8.self))
        switch hold.kind {
        case .untilStarted: self.hold = .untilStarted
        case .untilFinished: self.hold = .untilFinished
        case .afterFinish: self.hold = .afterFinish(.microseconds(hold.after))
        }
    }
}
