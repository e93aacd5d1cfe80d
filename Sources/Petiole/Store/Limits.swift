import PetioleStorage

// A change of limits against a claim
//
// Limits are read by the owner's claims whenever control has moved: who sets them commits the row, then moves control. A ticket
// that was claimed before runs under the limits of then; the next claim is made under the new ones. So after a change fewer
// may be allowed than run: nothing is stopped, and nothing starts until enough have ended.

extension JobStore {
    /// Sets the limits of a job type in a queue, from any process, in place of those of the runner's program, until they are
    /// taken away again; also after a restart. What runs goes on; the next to start does so under the new ones.
    /// - Parameter limits: nil: those of the program hold again.
    /// - Throws: ``StoreError``, also for a wrong name or limits out of their bounds, with what is allowed.
    public func setLimits(
        _ limits: JobLimits?, ofJob name: String, queue: String = "default"
    ) async throws(StoreError) {
        if let problem = limits?.problem { throw .invalidOption(problem) }
        try await setLimits(limits, of: name, in: queue)
    }

    /// Sets the limits of a whole queue, from any process, in place of ``JobRunner/QueueOptions``. The rest is as above.
    public func setLimits(
        concurrency: Int? = nil, rate: RateLimit? = nil, ofQueue queue: String
    ) async throws(StoreError) {
        let limits = JobLimits(concurrency: concurrency, rate: rate)
        if let problem = limits.problem { throw .invalidOption(problem) }
        try await setLimits(limits, of: nil, in: queue)
    }

    /// Takes the limits of a whole queue away again: those of the program hold.
    public func removeLimits(ofQueue queue: String) async throws(StoreError) {
        try await setLimits(nil, of: nil, in: queue)
    }

    /// The limits that were set in a queue: those of the queue itself under no name. Those of the runner's program are not
    /// among them.
    /// - Complexity: O(*n*) in what was set.
    public func limits(inQueue queue: String) throws(StoreError) -> [(job: String?, JobLimits)] {
        let set = try open.read { (reader) throws(StorageError) -> [(name: UInt32?, JobLimits)] in
            let row = try withBytes(RecordKey.bytes(queue)) { (key) throws(StorageError) in
                try reader.value(open.tables.queues, key)
            }
            guard let row else { return [] }
            let id = try formatted { () throws(FormatError) in try QueueRecord(row).id }
            return try SetLimits.read(id, reader, open.tables)
        }
        return try set.map { (number, limits) throws(StoreError) in
            guard let number else { return (nil, limits) }
            return (try jobName(number) ?? "?", limits)
        }
    }

    private func setLimits(
        _ limits: JobLimits?, of name: String?, in queue: String
    ) async throws(StoreError) {
        for (text, what) in [(queue, "queue"), (name ?? queue, "job")]
        where !NameForm.isValid(text) {
            throw .invalidOption(EnqueueError.invalidName(text, what: what).description)
        }
        let tables = open.tables
        try await open.perform { (transaction, state) throws(StorageError) in
            let id = try state.queue(named: queue, &transaction).id
            let number = try name.map { (name) throws(StorageError) in
                try state.number(ofName: name, &transaction)
            }
            let key = LimitsRecord.key(id, name: number)
            if let limits {
                let bytes = LimitsRecord(limits).bytes
                try transaction.put(tables.meta, key, count: bytes.count) { target in
                    for (index, byte) in bytes.enumerated() {
                        target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
                    }
                }
            } else {
                try transaction.delete(tables.meta, key)
            }
            state.controlMoved = true
            // Workers look whether more may start.
            state.hasNewWork = true
        }
    }
}

/// The limits that were set in a queue, by the number of the job's name; nil: those of the queue itself.
enum SetLimits {
    static func read(
        _ queue: UInt32, _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) -> [(name: UInt32?, JobLimits)] {
        var found: [(UInt32?, JobLimits)] = []
        let cursor = try reader.cursor(tables.meta)
        var entry = try cursor.ceiling(LimitsRecord.prefix(queue))
        while let (key, value) = entry, key.count == 6 || key.count == 10,
            key[0] == UInt8(ascii: "l"), key.bigEndian(at: 1, as: UInt32.self) == queue
        {
            let record = try formatted { () throws(FormatError) in try LimitsRecord(value) }
            found.append(
                (key[5] == 0 ? nil : key.bigEndian(at: 6, as: UInt32.self), record.limits))
            entry = try cursor.next()
        }
        return found
    }
}
