import PetioleStorage

// A job that runs alone
//
// It is claimed past all gates: nothing else runs. When it waits for another job it is alone no more, and from then on holds the
// places that it would have been given, so that others keep to the limits beside it. They are its own until its attempt ends.
// An ordered key it has already: it is named as the key's holder.

extension Claims {
    /// Whether a job runs alone now, because it may have ended the process before.
    func isAlone(_ id: UInt64) -> Bool { state.withLock { $0.loneJob == id } }

    /// A job that ran alone waits for another one: others may begin beside it.
    func goesOnBesideOthers(_ id: UInt64) {
        // One that cannot be read is bound by no limit.
        let found = try? store.read {
            (reader) throws(StorageError) -> (queue: UInt32, name: UInt32, key: GateKey?)? in
            guard let block = try Lookup.block(id, reader, store.tables) else { return nil }
            return try formatted { () throws(FormatError) in
                let entry = try block.entry(id)
                let key = try entry.limitKey().map { GateKey.key($0, of: entry.meta.name) }
                return (block.queue, entry.meta.name, key)
            }
        }
        let now = store.clock.ticks
        state.withLock { state in
            guard state.loneJob == id else { return }
            state.loneJob = nil
            guard let job = found ?? nil,
                let index = state.queues.firstIndex(where: { $0.owned.id == job.queue })
            else { return }
            var gates: [GateKey] = [.queue]
            if let rules = state.queues[index].rules[job.name] {
                if !rules.type.areNone {
                    state.queues[index].gates.use(.type(job.name), rules.type, at: now)
                    gates.append(.type(job.name))
                }
                if !rules.key.areNone, let key = job.key {
                    state.queues[index].gates.use(key, rules.key, at: now)
                    gates.append(key)
                }
            }
            if state.queues[index].gates.take(gates, by: id) {
                state.besideOthers[id] = job.queue
            }
        }
    }

    /// A job that ran alone, or began so, has ended its attempt. Returns whether others may start who could not before.
    func ended(_ id: UInt64) -> Bool {
        let now = store.clock.ticks
        return state.withLock { state in
            if state.loneJob == id {
                state.loneJob = nil
                return true
            }
            guard !state.besideOthers.isEmpty,
                let queue = state.besideOthers.removeValue(forKey: id),
                let index = state.queues.firstIndex(where: { $0.owned.id == queue })
            else { return false }
            return state.queues[index].gates.end(id, .isOver, at: now)
        }
    }
}
