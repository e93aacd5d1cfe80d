#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Why a store's file is not given to LMDB, as a sentence for a person.
package enum DataFileProblem: Error, Equatable, Sendable {
    /// Nothing is there; a store can be made.
    case noDirectory(path: String)
    /// The directory is there and has no `data.mdb`.
    case noDataFile(directory: String)
    case notADirectory(path: String)
    case notARegularFile(path: String)
    case symbolicLink(path: String)
    /// The file has other names (hard links), through which it may be changed.
    case otherNames(path: String, links: UInt64)
    case otherOwner(path: String, owner: UInt32, user: UInt32)
    case writableByOthers(path: String, mode: UInt32)
    /// The directory lies on another machine, where locks and shared maps are not to be relied on.
    case otherMachine(path: String)
    case cannotRead(path: String, code: Int32)
    case tooShort(path: String, bytes: UInt64)
    case header(path: String, page: UInt64, fault: HeaderFault)
    /// The file ends before a page that is in use.
    case cutShort(path: String, bytes: UInt64, page: UInt64, pageSize: Int)
    /// The first finding and how many there are.
    case damaged(path: String, first: DataFileFinding, findings: Int)
    /// Other processes kept changing the file, so that no two looks saw the same.
    case changing(path: String)
}

extension DataFileProblem: CustomStringConvertible {
    private static let restore = """
        restore the store from a backup made by `mdb_copy`, \
        or run `petiole doctor` to see what is left
        """

    package var description: String {
        switch self {
        case .noDirectory(let path):
            """
            there is no store at \(path)
              `petiole add` and `petiole run` make one, or name another with --store
            """
        case .noDataFile(let directory):
            """
            \(directory) is not a store: it has no data.mdb
              name another with --store, or remove the directory to have a store made there
            """
        case .notADirectory(let path):
            """
            \(path) is not a directory, and a store is one
              name another with --store
            """
        case .notARegularFile(let path):
            """
            \(path) is not a regular file
              \(Self.restore)
            """
        case .symbolicLink(let path):
            """
            \(path) is a symbolic link, which could lead to a file that others chose
              give the path that it leads to
            """
        case .otherNames(let path, let links):
            """
            \(path) has \(links) names (hard links), so it can be changed from elsewhere
              remove the other names, or copy the store with `mdb_copy`
            """
        case .otherOwner(let path, let owner, let user):
            """
            \(path) belongs to user \(owner), and this program runs as user \(user)
              run it as the owner, or name another store with --store
            """
        case .writableByOthers(let path, let mode):
            """
            \(path) can be written by other users (mode \(String(mode, radix: 8)))
              if nobody else changed it, run `chmod go-w` on it
            """
        case .otherMachine(let path):
            """
            \(path) lies on a remote or user-space file system, where locks cannot be relied on
              move the store to a local disk
            """
        case .cannotRead(let path, let code):
            """
            cannot read \(path): \(systemText(code))
              see that this user may read it and that the disk is well
            """
        case .tooShort(let path, let bytes):
            """
            \(path) is damaged: it has \(bytes) bytes, less than the two pages every store has
              \(Self.restore)
            """
        case .header(let path, let page, let fault):
            """
            \(path) is damaged, or not a store: header page \(page) \(fault)
              \(Self.restore)
            """
        case .cutShort(let path, let bytes, let page, let pageSize):
            """
            \(path) is cut short: page \(page) is in use, and the file ends after \(bytes) bytes \
            (\(bytes / UInt64(pageSize)) pages)
              \(Self.restore)
            """
        case .damaged(let path, let first, let findings):
            """
            \(path) is damaged (\(findings) \(findings == 1 ? "finding" : "findings")): \(first)
              \(Self.restore)
            """
        case .changing(let path):
            """
            cannot look at \(path): other processes change it all the time
              try again, or stop them first
            """
        }
    }
}

/// A system error in words, the number last.
func systemText(_ code: Int32) -> String {
    // The text is the C library's; for known codes it is constant, and it is copied at once.
    guard let text = unsafe strerror(code) else { return "error [\(code)]" }
    return unsafe "\(String(cString: text)) [\(code)]"
}
