import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The files in the store's folder `inputs`: standard inputs of commands that came from where they cannot be read again.
///
/// | a file | is |
/// |---|---|
/// | whose queue a process runs | left alone: its job may be about to be accepted |
/// | that no job of its queue names | swept |
/// | whose job has succeeded | deleted by the process that ran it, or swept |
/// | whose job has not | kept, as that may run once more |
///
/// A file's name begins with that of its queue and has a number that nobody used before, so that who sweeps deletes none that was made
/// after the look at the jobs.
package enum StoredInputs {
    static let folder = "inputs"

    /// A name for a file of a queue.
    static func newName(queue: String) -> String {
        "\(queue)-\(String(UInt64.random(in: 0 ... .max), radix: 16))"
    }

    /// Whether a name leads to a file of the folder and nowhere else.
    static func isName(_ name: [UInt8]) -> Bool {
        !name.isEmpty && name.count <= 255 && name[0] != UInt8(ascii: ".")
            && !name.contains(UInt8(ascii: "/")) && !name.contains(0)
    }

    private static func queue(of name: String) -> String? {
        name.lastIndex(of: "-").map { String(name[..<$0]) }
    }

    /// Deletes what no job needs any more.
    /// - Parameter owned: the queue that the caller runs, and in which it has not begun to store anything.
    static func sweep(_ open: OpenStore, owned: String? = nil) {
        let path = "\(open.path)/\(folder)"
        var queues: [String: [String]] = [:]
        for name in FileCopy.names(in: path) {
            if let queue = queue(of: name) { queues[queue, default: []].append(name) }
        }
        if queues.isEmpty { return }
        let store = JobStore(open)
        // What cannot be told stays; whoever sweeps next asks again.
        guard let owners = try? store.queues() else { return }
        for (queue, names) in queues {
            let owner = owners.first { $0.name == queue }?.ownerPID
            if queue != owned, owner != nil { continue }
            guard let needed = needed(of: queue, store) else { continue }
            // A backup copies them: see `Backup.swift`.
            if open.locks.holder(of: StoreFormat.backupLock) != nil { return }
            for name in names where !needed.contains(name) { unlink("\(path)/\(name)") }
        }
    }

    /// Those that jobs name which have not succeeded; nil when that cannot be told.
    private static func needed(of queue: String, _ store: JobStore) -> Set<String>? {
        var needed: Set<String> = []
        var filter = JobFilter()
        filter.queue = queue
        // Nothing is copied of the others, which are most.
        filter.states = Set(JobFilter.State.allCases).subtracting([.succeeded])
        do throws(StoreError) {
            try store.forEachRecord(filter) { summary, _, payload in
                if let name = name(summary.name, payload) { needed.insert(name) }
                return true
            }
        } catch { return nil }
        return needed
    }

    fileprivate static func name(_ job: String, _ payload: UnsafeRawBufferPointer) -> String? {
        guard job == CommandJob.name else { return nil }
        // One that cannot be read names none, and cannot run.
        guard let command = try? Command.decode(Array(payload)),
            case .stored(let name) = command.standardInput
        else { return nil }
        return String(validating: name, as: UTF8.self)
    }
}

/// One that is being written.
package struct StoredInput: ~Copyable {
    package private(set) var name: String
    private let directory: String
    private let file: Int32
    private var isKept = false

    fileprivate init(_ name: String, _ directory: String, _ file: Int32) {
        self.name = name
        self.directory = directory
        self.file = file
    }

    deinit {
        close(file)
        if !isKept { unlink("\(directory)/\(name)") }
    }

    /// - Returns: an errno, after which it is of no use.
    package func write(_ bytes: UnsafeRawBufferPointer) -> Int32? {
        var rest = bytes[...]
        while !rest.isEmpty {
            let slice = UnsafeRawBufferPointer(rebasing: rest)
            let count = systemWrite(file, slice.baseAddress!, slice.count)
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                return errno
            }
        }
        return nil
    }

    /// Makes it durable. One that is not is deleted.
    /// - Parameter name: under this name, in the place of what has it; nil: under its own.
    /// - Returns: an errno.
    package mutating func keep(as name: String? = nil) -> Int32? {
        if fsync(file) != 0 { return errno }
        if let name {
            guard rename("\(directory)/\(self.name)", "\(directory)/\(name)") == 0 else {
                return errno
            }
            self.name = name
        }
        do throws(StorageError) { try StoreCreation.sync(directory) } catch {
            if case .system(_, let code) = error { return code }
            return EIO
        }
        isKept = true
        return nil
    }
}

private func systemWrite(_ file: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    write(file, bytes, count)
}

extension JobStore {
    /// Begins a file for the standard input of a command of a queue that this process runs.
    /// - Throws: ``StoreError`` when there can be none.
    package func newStoredInput(queue: String) throws(StoreError) -> StoredInput {
        let directory = "\(open.path)/\(StoredInputs.folder)"
        // There already, or the file will say why not.
        if mkdir(directory, 0o700) == 0 {
            do throws(StorageError) { try StoreCreation.sync(open.path) } catch {
                throw open.storeError(error)
            }
        }
        let name = StoredInputs.newName(queue: queue)
        let file = makeFile("\(directory)/\(name)")
        guard file >= 0 else {
            throw open.storeError(.system(call: "open \(directory)/\(name)", code: errno))
        }
        return StoredInput(name, directory, file)
    }

    /// Deletes what was stored for commands of a queue that this process runs, before it stores anything, and that no job needs.
    package func sweepStoredInputs(ownQueue queue: String) {
        StoredInputs.sweep(open, owned: queue)
    }

    /// The name of what was stored for a job; nil: nothing was, or that cannot be told.
    package func storedInputName(of id: JobID) -> String? {
        // Who asks stores it under another name then, and the job says that it has none.
        guard let details = try? details(of: id) else { return nil }
        return details.payload.withUnsafeBytes {
            StoredInputs.name(details.summary.name, $0)
        }
    }

    /// Deletes the standard input of a job that has succeeded.
    package func removeStoredInput(of id: JobID) {
        // What cannot be told is swept later.
        guard let details = try? details(of: id),
            case .ended(let outcome) = details.summary.state, outcome.kind == .succeeded,
            let command = try? Command.decode(details.payload),
            case .stored(let name) = command.standardInput,
            open.locks.holder(of: StoreFormat.backupLock) == nil
        else { return }
        unlink("\(open.path)/\(StoredInputs.folder)/\(String(decoding: name, as: UTF8.self))")
    }
}

private func makeFile(_ path: String) -> Int32 {
    open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
}
