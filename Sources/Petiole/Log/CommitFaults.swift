import PetioleStorage

/// What a test lets go wrong in the commits of a store that it has opened. Called on the thread that writes.
package struct CommitFaults: Sendable {
    /// Asked before jobs are accepted: what there is no room in. `mapFull` for the store, `diskFull` for its file system. What
    /// ends jobs is recorded all the same.
    package var lacksRoom: @Sendable () -> StorageError?
    /// Asked in each transaction, with all in it that is to be committed: the error that it fails with instead.
    package var beforeCommit: @Sendable () -> StorageError?
    /// Called when a commit is durable and nobody has been told.
    package var afterCommit: @Sendable () -> Void

    package init(
        lacksRoom: @escaping @Sendable () -> StorageError?,
        beforeCommit: @escaping @Sendable () -> StorageError?,
        afterCommit: @escaping @Sendable () -> Void
    ) {
        self.lacksRoom = lacksRoom
        self.beforeCommit = beforeCommit
        self.afterCommit = afterCommit
    }
}
