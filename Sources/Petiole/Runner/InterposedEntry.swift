/// A job type with something before each of its attempts: for tests.
// What guards it: as its superclass; what it adds never changes.
final class InterposedEntry: JobEntry, @unchecked Sendable {
    private let entry: JobEntry
    private let before: @Sendable (String, JobContext) throws -> Void

    init(_ entry: JobEntry, _ before: @escaping @Sendable (String, JobContext) throws -> Void) {
        self.entry = entry
        self.before = before
        super.init(entry)
    }

    override func perform(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext,
        into result: inout ByteWriter, endView: () -> Void
    ) throws -> Performance {
        try before(name, context)
        return try entry.perform(payload, codec: codec, context, into: &result, endView: endView)
    }

    override func prepare(
        _ payload: UnsafeRawBufferPointer, codec: UInt8, _ context: JobContext
    ) throws -> @Sendable () async throws -> (codec: UInt8, result: [UInt8]) {
        let body = try entry.prepare(payload, codec: codec, context)
        return { [before, name] in
            try before(name, context)
            return try await body()
        }
    }
}

extension JobRegistry {
    /// Puts something before each attempt of all job types.
    mutating func interpose(_ before: @escaping @Sendable (String, JobContext) throws -> Void) {
        entries = entries.map { entry in
            guard let batch = entry as? BatchEntry else { return InterposedEntry(entry, before) }
            batch.before = before
            return batch
        }
    }
}
