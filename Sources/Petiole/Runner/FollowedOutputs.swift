import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// Followed outputs
//
// What a command writes lies in its runner's memory until it ends, unless somebody follows it. Who does takes an entry in the
// header of `running`, names the job there, and moves control, as who cancels does:
//
//     follower (any process)                   runner
//     takes an entry, names the job
//     moves control
//                                              its steward sees control moved, finds the job in a slot of its own and in
//                                              an entry, wakes the thread that waits for the child
//                                              that thread writes what it has to files, says which, rings
//     reads the files, waits for the ring
//                                              writes what comes, rings
//
// A thread that begins to wait for a child looks once whether it is followed, behind the moment from which the steward finds
// it: so an entry made before that is seen by the look, and one made later by the steward. A job that has not begun is
// followed in the same way.

extension RunningSlots {
    /// From 64 on, 32 bytes apart.
    static let followEntryCount = 30

    func followEntry(_ index: Int) -> FollowEntry {
        precondition(index < Self.followEntryCount, "no such entry")
        return FollowEntry(header + 64 + index * 32)
    }

    private var followEntries: [FollowEntry] { (0..<Self.followEntryCount).map(followEntry) }

    /// Whether somebody follows what a job writes. Thirty loads, once for each command.
    func isFollowed(_ job: UInt64) -> Bool {
        (0..<Self.followEntryCount).contains { followEntry($0).job == job }
    }

    /// The jobs that somebody follows.
    var followedJobs: Set<UInt64> {
        var jobs: Set<UInt64> = []
        for entry in followEntries where entry.job != 0 { jobs.insert(entry.job) }
        return jobs
    }

    /// Tells the followers of a job where its outputs are, and that there is more in them.
    func tellFollowers(of job: UInt64, _ place: FollowEntry.Place) {
        for entry in followEntries where entry.job == job { entry.tell(place) }
    }

    /// Takes an entry for this process. One whose process has died, or whose job has ended, is taken from it.
    /// - Returns: nil when all are in use.
    func takeFollowEntry(for job: UInt64, hasEnded: (UInt64) -> Bool) -> FollowEntry? {
        let entries = followEntries
        if let entry = entries.first(where: { $0.take(for: job) }) { return entry }
        for entry in entries {
            let owner = entry.owner
            let isLeft = owner != 0 && kill(owner, 0) != 0 && errno == ESRCH
            if isLeft || entry.job != 0 && hasEnded(entry.job) { entry.free(ownedBy: owner) }
        }
        return entries.first { $0.take(for: job) }
    }
}

/// One follower of a job's outputs.
///
/// | at | size | entry |
/// |---|---|---|
/// | 0 | 8 | job, 0: none; written last |
/// | 8 | 4 | pid of the follower, 0: free |
/// | 12 | 4 | counts up whenever there is more to read |
/// | 16 | 8 | the attempt in the upper half, then for standard output and standard error, 2 bytes each, 1 + the number of the file, 0: none |
/// | 24 | 8 | 0 |
struct FollowEntry: @unchecked Sendable {
    // What guards it: the mapping lives as long as the open store, and each word is only touched atomically. An entry belongs
    // to the process that swapped its pid in.
    private let base: UnsafeMutableRawPointer
    private var bell: UnsafeMutablePointer<UInt32> {
        (base + 12).assumingMemoryBound(to: UInt32.self)
    }

    /// Which files hold what an attempt has written.
    struct Place: Equatable, Sendable {
        var attempt: Int
        /// The numbers that the files' names end with; nil: there is none.
        var output: Int?
        var errorOutput: Int?

        init(attempt: Int, output: Int?, errorOutput: Int?) {
            self.attempt = attempt
            self.output = output
            self.errorOutput = errorOutput
        }

        init?(word: UInt64) {
            if word == 0 { return nil }
            func number(_ shift: UInt64) -> Int? {
                let bits = Int(word >> shift & 0xFFFF)
                return bits == 0 ? nil : bits - 1
            }
            self.init(attempt: Int(word >> 32), output: number(16), errorOutput: number(0))
        }

        var word: UInt64 {
            func bits(_ number: Int?) -> UInt64 { number.map { UInt64($0 + 1) & 0xFFFF } ?? 0 }
            return UInt64(UInt32(clamping: attempt)) << 32 | bits(output) << 16 | bits(errorOutput)
        }
    }

    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    var job: UInt64 { petiole_load_u64(base) }
    var owner: Int32 { Int32(bitPattern: petiole_load_u32(base + 8)) }

    func take(for job: UInt64) -> Bool {
        guard petiole_swap_u32(base + 8, 0, UInt32(bitPattern: getpid())) != 0 else { return false }
        petiole_store_u64(base + 16, 0)
        petiole_publish_u64(base, job)
        return true
    }

    /// Gives it back, unless somebody else has it by now.
    func free(ownedBy owner: Int32) {
        guard owner != 0, self.owner == owner else { return }
        petiole_store_u64(base, 0)
        _ = petiole_swap_u32(base + 8, UInt32(bitPattern: owner), 0)
    }

    var place: Place? { Place(word: petiole_load_u64(base + 16)) }

    /// Nobody may be told of the files of an attempt who follows another job by now: that one finds no such files, and waits.
    func tell(_ place: Place) {
        petiole_store_u64(base + 16, place.word)
        ring()
    }

    var ringCount: UInt32 { petiole_load_sequential_u32(bell) }

    func ring() {
        _ = petiole_add_u32(bell, 1)
        petiole_wake(bell, 1, Int32.max)
    }

    /// Blocks the thread until it is rung, so many nanoseconds are over, or for no reason.
    func wait(whileAt count: UInt32, atMost nanoseconds: Int64) {
        _ = petiole_wait_for(bell, count, 1, nanoseconds, .max)
    }
}
