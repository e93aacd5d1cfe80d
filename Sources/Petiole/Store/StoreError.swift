import PetioleStorage

/// Why a store could not be opened or used. Each says what happened, to what, and the next step.
public enum StoreError: Error, Sendable, Equatable {
    /// There is no store at the path, and none was to be made.
    case noStore(path: String)
    /// The path names a file, or a directory with something else in it.
    case notAStore(path: String, reason: String)
    /// This user may not do that there.
    case notPermitted(path: String, reason: String)
    /// The store was written by a newer version.
    case newerFormat(path: String, found: Int, supported: Int)
    /// The path lies on a file system of another machine or in user space.
    case remoteFileSystem(path: String)
    /// What is on the disk is not what was written there.
    case damaged(path: String, reason: String)
    /// The store's limit is reached.
    case full(path: String, used: Int, limit: Int)
    /// A queue, or the store, holds as many jobs as its ``Capacity`` says: which, and how many.
    case noRoom(CapacityReached)
    /// An option is out of its bounds, or contradicts another: which, and what is allowed.
    case invalidOption(String)
    /// The task that waited for room was cancelled; nothing was accepted.
    case waitCancelled
    /// The file system has no room left.
    case diskFull(path: String)
    /// All 1,024 read views of the store are taken.
    case tooManyReaders(path: String)
    /// No job has this id: it never did, or it was pruned.
    case noSuchJob(JobID)
    /// Others have the store open, who must not for what was asked: their processes.
    case inUse(path: String, pids: [Int])
    /// No copy of a store could be written there; the store itself is as it was.
    case copyFailed(path: String, reason: String)
    /// The store was closed, or its directory was replaced under it.
    case closed(path: String, reason: String)
    /// The disk or the system failed; whether the last change is there is unknown until the store is opened anew.
    case failed(path: String, reason: String)

    init(_ problem: DataFileProblem, path: String) {
        switch problem {
        case .noDirectory, .noDataFile: self = .noStore(path: path)
        case .notADirectory, .notARegularFile, .symbolicLink, .otherNames:
            self = .notAStore(path: path, reason: problem.description)
        case .otherMachine: self = .remoteFileSystem(path: path)
        case .otherOwner, .writableByOthers, .cannotRead:
            self = .notPermitted(path: path, reason: problem.description)
        case .tooShort, .header, .cutShort, .damaged, .changing:
            self = .damaged(path: path, reason: problem.description)
        }
    }

    init(_ error: StorageError, path: String, usage: Environment.Usage? = nil, limit: Int? = nil) {
        switch error {
        case .mapFull:
            self = .full(path: path, used: usage?.usedBytes ?? 0, limit: limit ?? 0)
        case .diskFull: self = .diskFull(path: path)
        case .readersFull: self = .tooManyReaders(path: path)
        case .closed: self = .closed(path: path, reason: "this process closed it")
        case .damaged(let what): self = .damaged(path: path, reason: what)
        case .tableMissing(let name):
            self = .damaged(path: path, reason: "it has no table \"\(name)\"")
        case .system(_, let code) where code == 13 || code == 1 || code == 30:
            self = .notPermitted(path: path, reason: error.description)
        default: self = .failed(path: path, reason: error.description)
        }
    }
}

extension StoreError: CustomStringConvertible {
    /// What happened, and in the following line the next step.
    public var description: String {
        switch self {
        case .noStore(let path):
            """
            there is no store at \(visible(path))
            make one with `petiole add` or `petiole run` there, or name another with --store
            """
        case .notAStore(let path, let reason):
            """
            \(visible(path)) is not a store: \(reason)
            give a path that does not exist yet, or the directory of a store
            """
        case .notPermitted(let path, let reason):
            """
            the store at \(visible(path)) cannot be opened by this user: \(reason)
            look at the owner and mode of the directory and its files; a store is its owner's alone
            """
        case .newerFormat(let path, let found, let supported):
            """
            the store at \(visible(path)) has format \(found); this program reads up to \(supported)
            open it with the version that made it, or a newer one; nothing was changed
            """
        case .remoteFileSystem(let path):
            """
            \(visible(path)) lies on a network or user-space file system, where locks and shared maps \
            are not to be relied on
            put the store on a local disk
            """
        case .damaged(let path, let reason):
            """
            the store at \(visible(path)) is damaged: \(reason)
            keep it as it is, look with `petiole doctor`, and restore a copy made by `mdb_copy`
            """
        case .full(let path, let used, let limit):
            """
            the store at \(visible(path)) is full (\(gibibytes(used)) of \(gibibytes(limit)) GiB)
            free space with `petiole prune --older-than 1d`, or raise its limit
            """
        case .noRoom(let reached): reached.description
        case .invalidOption(let problem): problem
        case .waitCancelled: "the task that waited for room was cancelled"
        case .diskFull(let path):
            """
            the file system of \(visible(path)) has no room for new jobs; what runs is still recorded
            free some disk space: new jobs are accepted again by themselves
            """
        case .tooManyReaders(let path):
            """
            1,024 read views of the store at \(visible(path)) are open in all processes together
            end some of the programs that use it
            """
        case .noSuchJob(let id):
            """
            there is no job \(id)
            it never was, or it ended longer ago than outcomes are kept
            """
        case .inUse(let path, let pids):
            """
            the store at \(visible(path)) is in use by \(Self.processes(pids))
            end what uses it, and try again
            """
        case .copyFailed(let path, let reason):
            """
            no copy of the store can be written to \(visible(path)): \(visible(reason))
            nothing was left there, and the store is as it was
            """
        case .closed(let path, let reason):
            """
            the store at \(visible(path)) is closed: \(reason)
            open it again
            """
        case .failed(let path, let reason):
            """
            the store at \(visible(path)) failed: \(reason)
            end this program and start it again; what was accepted before is on the disk
            """
        }
    }
}

extension StoreError {
    private static func processes(_ pids: [Int]) -> String {
        let named = pids.prefix(8).map { String($0) }.joined(separator: ", ")
        let others = pids.count > 8 ? " and \(pids.count - 8) more" : ""
        return "process\(pids.count == 1 ? "" : "es") \(named)\(others)"
    }
}

/// A byte count in GiB with one digit.
func gibibytes(_ bytes: Int) -> String {
    let tenths = Int((Double(bytes) / Double(1 << 30) * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
}

/// Text from outside as a terminal may show it: control bytes, escapes and marks of direction are written out.
package func visible(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
            .unassigned:
            shown += "\\u{\(String(scalar.value, radix: 16))}"
        default: shown.unicodeScalars.append(scalar)
        }
    }
    return shown
}
