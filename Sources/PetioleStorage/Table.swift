import CLMDB

/// A named database of the environment. Its handle is good as long as the environment is.
package struct Table: Sendable, Hashable {
    let handle: MDB_dbi
}
