import CLMDB

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What storage can fail with, told apart where a caller acts differently.
package enum StorageError: Error, Sendable, Equatable {
    /// The memory map is used up, or its headroom.
    case mapFull
    /// The file system has no room for what the transaction writes.
    case diskFull
    /// 1,024 read views are open, in all processes together.
    case readersFull
    /// The transaction holds more changes than LMDB can keep.
    case transactionTooLarge
    /// A key that was to be new is there already.
    case exists
    /// A database of the store is missing.
    case tableMissing(String)
    /// The file is not what it should be.
    case damaged(String)
    /// The environment was closed by this process.
    case closed
    /// LMDB has given up for the rest of the process.
    case panicked
    /// A call of the system failed.
    case system(call: String, code: Int32)
    /// LMDB said something that should not happen.
    case unexpected(call: String, code: Int32)

    /// Translates what LMDB returned; `code` is not zero.
    init(_ code: Int32, in call: String) {
        switch code {
        case MDB_MAP_FULL: self = .mapFull
        case MDB_READERS_FULL: self = .readersFull
        case MDB_TXN_FULL: self = .transactionTooLarge
        case MDB_KEYEXIST: self = .exists
        case MDB_PANIC: self = .panicked
        case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_VERSION_MISMATCH:
            self = .damaged(lmdbMessage(code))
        case ENOSPC, EDQUOT: self = .diskFull
        case let code where code > 0: self = .system(call: call, code: code)
        default: self = .unexpected(call: call, code: code)
        }
    }
}

extension StorageError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .mapFull: "the store's map is full   [LMDB \(MDB_MAP_FULL)]"
        case .diskFull: "no space left on the store's file system   [errno \(ENOSPC)]"
        case .readersFull:
            "1,024 read views of the store are open already   [LMDB \(MDB_READERS_FULL)]"
        case .transactionTooLarge: "a transaction grew too large   [LMDB \(MDB_TXN_FULL)]"
        case .exists: "a record that was to be new is there already   [LMDB \(MDB_KEYEXIST)]"
        case .tableMissing(let name): "the store has no table \"\(name)\""
        case .damaged(let what): "the store's file is damaged: \(what)"
        case .closed: "the store was closed"
        case .panicked:
            "a write of the store's root page failed; end this process and open the store anew"
                + "   [LMDB \(MDB_PANIC)]"
        case .system(let call, let code): "\(call): \(systemMessage(code))   [errno \(code)]"
        case .unexpected(let call, let code): "\(call): \(lmdbMessage(code))   [LMDB \(code)]"
        }
    }
}

/// LMDB's sentence for a code.
func lmdbMessage(_ code: Int32) -> String {
    // `mdb_strerror` returns a constant, or a buffer of the C library that is read at once.
    unsafe String(cString: mdb_strerror(code))
}

/// The system's sentence for an errno.
package func systemMessage(_ code: Int32) -> String {
    unsafe String(cString: strerror(code))
}

/// Throws what a call of LMDB returned, unless that was success.
@inline(__always)
func check(_ code: Int32, _ call: @autoclosure () -> String) throws(StorageError) {
    if code != 0 { throw StorageError(code, in: call()) }
}
