import CLMDB

/// A named database of the environment. Its handle is good as long as the environment is.
package struct Table: Sendable, Hashable {
    package let name: String
    let handle: MDB_dbi
}
