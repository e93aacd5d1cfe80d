import CLMDB

/// A read view that is opened again and again, without a lock and without allocating: one for each thread that reads
/// often. Used by one thread at a time; which one may change between views (`MDB_NOTLS`).
///
/// An open view keeps every page freed since it began from being reused, so it is never held while its thread sleeps
/// or runs anything slow.
@safe package final class Reader: Transaction {
    package let handle: OpaquePointer
    /// Whether a view is open.
    package private(set) var isOpen = true

    init(_ handle: OpaquePointer) { unsafe self.handle = unsafe handle }

    /// Opens a view of what is committed now. Cost: some 50 ns.
    package func begin() throws(StorageError) {
        guard !isOpen else { return }
        try check(unsafe mdb_txn_renew(handle), "mdb_txn_renew")
        isOpen = true
    }

    /// Ends the view; what it lent is void.
    package func end() {
        guard isOpen else { return }
        unsafe mdb_txn_reset(handle)
        isOpen = false
    }

    deinit { unsafe mdb_txn_abort(handle) }

    /// The number of the commit that the view shows.
    package var commit: Int { unsafe Int(mdb_txn_id(handle)) }
}
