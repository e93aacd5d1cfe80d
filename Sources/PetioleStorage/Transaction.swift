import CLMDB

/// Reads within one view of the store, consistent and unchanging: a read view's, or a write transaction's own.
///
/// What is returned points into the memory map (or, in a write transaction, into its changed pages): it is good until
/// the view ends, in a write transaction until its next change. Values are aligned to 2 bytes only.
package protocol Transaction: ~Copyable {
    /// LMDB's transaction, for the calls below alone.
    var handle: OpaquePointer { get }
}

extension Transaction where Self: ~Copyable {
    /// The value of a key, nil when there is none. Cost: O(log n), no copy.
    package borrowing func value(
        _ table: Table, _ key: Key
    ) throws(StorageError) -> UnsafeRawBufferPointer? {
        try unsafe key.withBytes { (bytes) throws(StorageError) in
            try unsafe value(table, bytes)
        }
    }

    package borrowing func value(
        _ table: Table, _ key: UnsafeRawBufferPointer
    ) throws(StorageError) -> UnsafeRawBufferPointer? {
        var keyValue = unsafe MDB_val(key)
        var found = unsafe MDB_val()
        let code = unsafe mdb_get(handle, table.handle, &keyValue, &found)
        if code == MDB_NOTFOUND { return nil }
        try check(code, "mdb_get")
        return unsafe UnsafeRawBufferPointer(found)
    }

    /// How many entries a table has. Cost: O(1).
    package borrowing func count(_ table: Table) throws(StorageError) -> Int {
        var stat = MDB_stat()
        try check(unsafe mdb_stat(handle, table.handle, &stat), "mdb_stat")
        return stat.ms_entries
    }

    /// How many pages a table has. Cost: O(1).
    package borrowing func pageCount(_ table: Table) throws(StorageError) -> Int {
        var stat = MDB_stat()
        try check(unsafe mdb_stat(handle, table.handle, &stat), "mdb_stat")
        return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages
    }

    /// Opens a cursor; it ends before the view does.
    package borrowing func cursor(_ table: Table) throws(StorageError) -> Cursor {
        var cursor: OpaquePointer?
        try check(unsafe mdb_cursor_open(handle, table.handle, &cursor), "mdb_cursor_open")
        return unsafe Cursor(cursor!)
    }
}

/// A place in a table's order. Must not outlive the view that it was opened in.
@safe package struct Cursor: ~Copyable {
    let handle: OpaquePointer

    init(_ handle: OpaquePointer) { unsafe self.handle = unsafe handle }

    deinit { unsafe mdb_cursor_close(handle) }

    package typealias Entry = (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)

    private borrowing func get(
        _ operation: MDB_cursor_op, from key: UnsafeRawBufferPointer? = nil
    ) throws(StorageError) -> Entry? {
        var keyValue = unsafe key.map { unsafe MDB_val($0) } ?? MDB_val()
        var value = unsafe MDB_val()
        let code = unsafe mdb_cursor_get(handle, &keyValue, &value, operation)
        if code == MDB_NOTFOUND { return nil }
        try check(code, "mdb_cursor_get")
        return unsafe (UnsafeRawBufferPointer(keyValue), UnsafeRawBufferPointer(value))
    }

    package borrowing func first() throws(StorageError) -> Entry? { try unsafe get(MDB_FIRST) }
    package borrowing func last() throws(StorageError) -> Entry? { try unsafe get(MDB_LAST) }
    package borrowing func next() throws(StorageError) -> Entry? { try unsafe get(MDB_NEXT) }
    package borrowing func previous() throws(StorageError) -> Entry? { try unsafe get(MDB_PREV) }

    /// The first entry at or after a key of any bytes.
    package borrowing func ceiling(
        _ key: UnsafeRawBufferPointer
    ) throws(StorageError) -> Entry? {
        try unsafe get(MDB_SET_RANGE, from: key)
    }

    /// The first entry at or after a key.
    package borrowing func ceiling(_ key: Key) throws(StorageError) -> Entry? {
        try unsafe key.withBytes { (bytes) throws(StorageError) in
            try unsafe get(MDB_SET_RANGE, from: bytes)
        }
    }

    /// The last entry at or before a key.
    package borrowing func floor(_ key: Key) throws(StorageError) -> Entry? {
        let isExact = { (entry: Entry) in
            unsafe key.withBytes { unsafe $0.elementsEqual(entry.key) }
        }
        guard let at = try unsafe ceiling(key) else { return try unsafe last() }
        return unsafe isExact(at) ? unsafe at : try unsafe previous()
    }

    /// Writes at the end of the table's order: the key is greater than all others.
    /// - Returns: where `count` bytes are to be written, all of them, before the next change.
    /// - Throws: ``StorageError/exists`` when the key is not the greatest.
    package borrowing func append(
        _ key: Key, count: Int
    ) throws(StorageError) -> UnsafeMutableRawPointer {
        try unsafe reserve(key, count: count, flags: UInt32(MDB_APPEND))
    }

    /// Writes a key that is not there yet; the rest as ``append(_:count:)``.
    package borrowing func insert(
        _ key: Key, count: Int
    ) throws(StorageError) -> UnsafeMutableRawPointer {
        try unsafe reserve(key, count: count, flags: UInt32(MDB_NOOVERWRITE))
    }

    /// What became of an insertion.
    @unsafe package enum Insertion {
        /// So many bytes are to be written there, all of them, before the next change.
        case place(UnsafeMutableRawPointer)
        /// The key was there, and is as it was.
        case exists(UnsafeRawBufferPointer)
    }

    /// Writes a key that may be there. Cost: O(log n), and less when the key lies near the last one.
    package borrowing func insertIfNew(
        _ key: UnsafeRawBufferPointer, count: Int
    ) throws(StorageError) -> Insertion {
        var keyValue = unsafe MDB_val(key)
        var value = unsafe MDB_val(mv_size: count, mv_data: nil)
        let code = unsafe mdb_cursor_put(
            handle, &keyValue, &value, UInt32(MDB_NOOVERWRITE) | UInt32(MDB_RESERVE))
        if code == MDB_KEYEXIST { return unsafe .exists(UnsafeRawBufferPointer(value)) }
        try check(code, "mdb_cursor_put")
        return unsafe .place(value.mv_data)
    }

    private borrowing func reserve(
        _ key: Key, count: Int, flags: UInt32
    ) throws(StorageError) -> UnsafeMutableRawPointer {
        try unsafe key.withBytes { (bytes) throws(StorageError) in
            var keyValue = unsafe MDB_val(bytes)
            var value = unsafe MDB_val(mv_size: count, mv_data: nil)
            try check(
                unsafe mdb_cursor_put(handle, &keyValue, &value, flags | UInt32(MDB_RESERVE)),
                "mdb_cursor_put")
            return unsafe value.mv_data
        }
    }

    /// Deletes the entry that the cursor is at. Only in a write transaction.
    package borrowing func delete() throws(StorageError) {
        try check(unsafe mdb_cursor_del(handle, 0), "mdb_cursor_del")
    }
}

/// The one write at a time. Exists only as the `inout` argument of the closure given to ``Environment/write(_:)``.
///
/// - Source: tried with LMDB 0.9.24: a write transaction that ends on another thread than it began on reports success
///   and hangs the next writer for ever. So it cannot be stored, moved or awaited in.
@safe package struct WriteTransaction: ~Copyable, Transaction {
    package let handle: OpaquePointer

    init(_ handle: OpaquePointer) { unsafe self.handle = unsafe handle }

    /// Writes a value, over the one that is there if any.
    package mutating func put(
        _ table: Table, _ key: Key, _ value: UnsafeRawBufferPointer
    ) throws(StorageError) {
        try unsafe key.withBytes { (bytes) throws(StorageError) in
            try unsafe put(table, bytes, value)
        }
    }

    package mutating func put(
        _ table: Table, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws(StorageError) {
        var keyValue = unsafe MDB_val(key)
        var valueValue = unsafe MDB_val(value)
        try check(
            unsafe mdb_put(handle, table.handle, &keyValue, &valueValue, 0), "mdb_put")
    }

    /// Writes `count` bytes that `fill` lays down, over what is there if anything.
    package mutating func put(
        _ table: Table, _ key: Key, count: Int, _ fill: (UnsafeMutableRawPointer) -> Void
    ) throws(StorageError) {
        try unsafe key.withBytes { (bytes) throws(StorageError) in
            var keyValue = unsafe MDB_val(bytes)
            var value = unsafe MDB_val(mv_size: count, mv_data: nil)
            try check(
                unsafe mdb_put(
                    handle, table.handle, &keyValue, &value, UInt32(MDB_RESERVE)), "mdb_put")
            unsafe fill(value.mv_data)
        }
    }

    /// Deletes a key. Returns whether it was there.
    @discardableResult
    package mutating func delete(_ table: Table, _ key: Key) throws(StorageError) -> Bool {
        try unsafe key.withBytes { (bytes) throws(StorageError) in
            try unsafe delete(table, bytes)
        }
    }

    @discardableResult
    package mutating func delete(
        _ table: Table, _ key: UnsafeRawBufferPointer
    ) throws(StorageError) -> Bool {
        var keyValue = unsafe MDB_val(key)
        let code = unsafe mdb_del(handle, table.handle, &keyValue, nil)
        if code == MDB_NOTFOUND { return false }
        try check(code, "mdb_del")
        return true
    }
}

extension MDB_val {
    init(_ bytes: UnsafeRawBufferPointer) {
        unsafe self.init(
            mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
    }
}

extension UnsafeRawBufferPointer {
    init(_ value: MDB_val) {
        unsafe self.init(start: value.mv_data, count: value.mv_size)
    }
}
