import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Reads along what a command writes while it runs, in whichever process. From its making until ``end()`` the command's runner
/// puts what is written into files of the store's folder `outputs`; what fits in an outcome is taken from there again at the
/// command's end.
package final class OutputFollower: Sendable {
    /// The files of an attempt; nil: it has none, since they cannot be made.
    package struct Files: Sendable, Equatable {
        package let attempt: Int
        package let output: String?
        package let errorOutput: String?
    }

    private let open: OpenStore
    private let id: UInt64
    private let entry: FollowEntry
    private let hasEnded = Mutex(false)

    /// - Returns: nil when all places for followers are in use: there are 30.
    package init?(of id: JobID, in store: JobStore) {
        let open = store.open
        guard
            let entry = open.slots.takeFollowEntry(
                for: id.rawValue, hasEnded: { open.hasEnded($0) })
        else { return nil }
        self.open = open
        self.id = id.rawValue
        self.entry = entry
        // The runner's steward looks.
        open.signals.control.ring()
    }

    deinit { end() }

    /// To be read before the files are.
    package var ringCount: UInt32 { entry.ringCount }

    /// Makes a wait return.
    package func ring() { entry.ring() }

    /// Blocks the thread until there is more to read, so much time is over, or for no reason.
    package func wait(whileAt count: UInt32, atMost time: Duration) {
        let (seconds, attoseconds) = time.components
        let nanoseconds = min(seconds, 1_000_000) * 1_000_000_000 + attoseconds / 1_000_000_000
        entry.wait(whileAt: count, atMost: nanoseconds)
    }

    /// Where the newest attempt writes; nil before one has begun.
    package var files: Files? {
        guard let place = entry.place else { return nil }
        func path(_ number: Int?, _ suffix: String) -> String? {
            number.map {
                let name = "\(id)-\(place.attempt).\(suffix)" + ($0 == 0 ? "" : ".\($0)")
                return open.path + "/outputs/" + name
            }
        }
        return Files(
            attempt: place.attempt, output: path(place.output, "out"),
            errorOutput: path(place.errorOutput, "err"))
    }

    package func end() {
        let isFirst = hasEnded.withLock { hasEnded in
            defer { hasEnded = true }
            return !hasEnded
        }
        if isFirst { entry.free(ownedBy: getpid()) }
    }
}
