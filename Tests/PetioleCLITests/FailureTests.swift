import Petiole
import Testing

@testable import PetioleCLI

@Suite("Failures of the tool in words") struct FailureTests {
    @Test("a full store is told without the names that the tool gives to its jobs and queues")
    func fullStore() throws {
        let cause = StoreError.full(path: "/a/.petiole", used: 64 << 30, limit: 64 << 30)
        let failure = Failure(
            EnqueueError.refused(job: "petiole.command", queue: "run-bdb5", cause))
        #expect(failure.status == 75)
        #expect(
            failure.message == """
                no further job is taken: the store at /a/.petiole is full (65,536 of 65,536 MiB)
                free room with `petiole prune --older-than 1d`, or name another store with --store
                """)
    }

    @Test("a full disk under a store is told so too, with the next step")
    func fullDisk() throws {
        let failure = Failure(
            EnqueueError.refused(
                job: "petiole.command", queue: "run-bdb5", StoreError.diskFull(path: "/a/.petiole"))
        )
        #expect(failure.status == 75)
        #expect(
            failure.message == """
                no further job is taken: the file system of /a/.petiole has no room for new jobs; what runs is still recorded
                free some disk space: new jobs are accepted again by themselves
                """)
    }
}
