/// Effects that were gathered in a child, as bytes: applied by the runner with the success that they came with.
///
/// In the numbers and strings of ``CompactWriter``: new jobs, each with queue, name, priority (1), what a conflict of its unique
/// key means (1), what becomes of it when there is no room (1: 0 what the capacity says), and a block of the one job; rows written, each with its key and 0, or 1 and its value; rows read, each with its
/// key and 0, or 1 and its hash.
enum ChildEffects {
    static func encode(_ effects: AttemptEffects) -> [UInt8] {
        var writer = CompactWriter()
        writer.write(number: UInt64(effects.spawned.count))
        for job in effects.spawned {
            writer.write(string: Array(job.target.queueName.utf8))
            writer.write(string: Array(job.target.jobName.utf8))
            writer.write(job.target.priority)
            switch job.onConflict {
            case .giveBack: writer.write(0)
            case .replace: writer.write(1)
            case .refuse: writer.write(2)
            }
            switch job.whenFull {
            case nil: writer.write(0)
            case .refuse: writer.write(1)
            // Nobody waits within a transaction: as a refusal.
            case .wait: writer.write(1)
            case .dropOldest: writer.write(2)
            }
            let block = [UInt8](unsafeUninitializedCapacity: job.block.size) { bytes, count in
                count = job.block.size
                job.block.write(
                    to: UnsafeMutableRawPointer(bytes.baseAddress!), first: 1, queue: 0,
                    priority: job.target.priority, name: 0,
                    acceptedAt: ClockReading(wall: 0, steady: 0))
            }
            writer.write(string: block)
        }
        writer.write(number: UInt64(effects.writes.count))
        for (key, value) in effects.writes {
            writer.write(string: key)
            writer.write(value == nil ? 0 : 1)
            if let value { writer.write(string: value) }
        }
        writer.write(number: UInt64(effects.reads.count))
        for (key, hash) in effects.reads {
            writer.write(string: key)
            writer.write(hash == nil ? 0 : 1)
            if let hash { writer.write(number: hash) }
        }
        return writer.bytes
    }

    /// Nothing in the bytes is believed: a process whose memory is in disorder may have made them.
    static func decode(
        _ bytes: [UInt8], job: UInt64, attempt: Int, in store: OpenStore
    ) throws -> AttemptEffects {
        var reader = CompactReader(bytes)
        var effects = AttemptEffects(job: job, attempt: attempt)
        for _ in 0..<(try reader.count(atMost: .max)) {
            let submission = try spawned(&reader, store)
            effects.byteCount += submission.byteCount
            effects.spawned.append(submission)
        }
        for _ in 0..<(try reader.count(atMost: .max)) {
            let key = try row(&reader)
            let value = try flag(&reader) ? try reader.string() : nil
            effects.byteCount += key.count + (value?.count ?? 0)
            effects.writes.updateValue(value, forKey: key)
        }
        for _ in 0..<(try reader.count(atMost: .max)) {
            let key = try row(&reader)
            let hash = try flag(&reader) ? try reader.number() : nil
            effects.byteCount += key.count
            effects.reads.updateValue(hash, forKey: key)
        }
        try reader.finish()
        return effects
    }

    private static func spawned(
        _ reader: inout CompactReader, _ store: OpenStore
    ) throws -> EnqueueSubmission {
        guard let queue = String(validating: try reader.string(), as: UTF8.self),
            let name = String(validating: try reader.string(), as: UTF8.self),
            NameForm.isValid(queue), NameForm.isValid(name)
        else { throw CompactFault.malformed }
        let priority = try reader.byte()
        guard priority <= StoreFormat.lowestPriority else { throw CompactFault.malformed }
        let conflict: Uniqueness.Conflict =
            switch try reader.byte() {
            case 0: .giveBack
            case 1: .replace
            case 2: .refuse
            default: throw CompactFault.malformed
            }
        let whenFull: CapacityRecord.WhenFull? =
            switch try reader.byte() {
            case 0: nil
            case 1: .refuse
            case 2: .dropOldest
            default: throw CompactFault.malformed
            }
        return try (try reader.string()).withUnsafeBytes { bytes in
            let view = try JobBlockView(first: 1, value: bytes)
            guard view.count == 1 else { throw CompactFault.malformed }
            let entry = try view.entry(1)
            var block = JobBlockBuilder(jobs: 1, bytes: entry.content.count)
            block.append(entry.content, meta: entry.meta)
            return EnqueueSubmission(
                to: store.target(queue: queue, job: name, priority: priority),
                options: try entry.options(), onConflict: conflict, whenFull: whenFull, block)
        }
    }

    private static func flag(_ reader: inout CompactReader) throws(CompactFault) -> Bool {
        switch try reader.byte() {
        case 0: false
        case 1: true
        default: throw .malformed
        }
    }

    /// The key of a row with its table's name before it.
    private static func row(_ reader: inout CompactReader) throws(CompactFault) -> [UInt8] {
        let row = try reader.string()
        guard let end = row.firstIndex(of: 0),
            NameForm.isValid(String(decoding: row[..<end], as: UTF8.self)),
            (1...TableForm.keyLimit).contains(row.count - end - 1)
        else { throw .malformed }
        return row
    }
}
