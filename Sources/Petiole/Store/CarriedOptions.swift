import PetioleStorage

/// What a job was told when it was enqueued, as far as it can be told again to another store.
package struct CarriedOptions: Sendable {
    /// Nil: its job type's.
    package var maxAttempts: Int?
    package var timeLimit: TimeLimit?
    /// As the clocks stand now.
    package var due: WallTime?
    package var expiry: WallTime?
}

extension JobStore {
    /// What a job was told; nil when there is no such job, or it cannot be read.
    /// - Complexity: O(log *n*).
    package func carriedOptions(of id: JobID) throws(StoreError) -> CarriedOptions? {
        let open = open
        let found = try open.read { (reader) throws(StorageError) -> (UInt8, JobOptions)? in
            guard let block = try Lookup.block(id.rawValue, reader, open.tables) else { return nil }
            // A damaged one is said to be so by who lists it.
            guard let entry = try? block.entry(id.rawValue), var options = try? entry.options()
            else { return nil }
            if let active = try Lookup.active(id.rawValue, reader, open.tables) {
                options.due = active.dueNow(options)
                // Once it was requeued it may start, whenever that is.
                if active.generation > 0 { options.expiry = 0 }
            }
            return (entry.meta.maxAttempts, options)
        }
        guard let (attempts, options) = found else { return nil }
        return CarriedOptions(
            maxAttempts: attempts == 0 ? nil : Int(attempts), timeLimit: options.timeLimit,
            due: options.due.isNone ? nil : open.shown(options.due),
            expiry: options.expiry.isNone ? nil : open.shown(options.expiry))
    }
}

extension ActiveRecord {
    /// When it is due as things stand: what its enqueue said counts until somebody edits it, and not when it runs once more.
    fileprivate func dueNow(_ options: JobOptions) -> StoreTime {
        switch pending {
        case .edit(_, let due)?, .hold(_, let due)?: if !due.isNone { return due }
        case .purge?, nil: break
        }
        switch state {
        case .waiting: return due
        case .ready: return 0
        case .parked: return !due.isNone || isRescheduled || generation > 0 ? due : options.due
        }
    }
}

extension PayloadCodec {
    /// Reads a value from JSON text.
    /// - Throws: ``CodecError``, which says where it is not what the type wants.
    package static func readJSON<Value: Decodable>(
        _ type: Value.Type, _ text: [UInt8]
    ) throws(CodecError) -> Value {
        var result: Result<Value, CodecError>?
        text.withUnsafeBytes { bytes in
            do throws(CodecError) {
                result = .success(try JSONPayload.read(type, from: bytes))
            } catch {
                result = .failure(error)
            }
        }
        return try result!.get()
    }
}
