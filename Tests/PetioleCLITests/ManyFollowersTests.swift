import Petiole
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// More than one transaction lets go.
@Suite("petiole and many jobs after one", .ownThreads, .timeLimit(.minutes(10)))
struct ManyFollowersTests {
    let tool = Tool()

    private struct Note: Job {
        var number = 0
        func run(_ context: JobContext) throws -> Int { 0 }
    }

    /// 6,000 jobs of the queue *behind* after one of the queue *commands*.
    private func fill() async throws -> (first: String, last: JobID) {
        let end = try tool.run("add", "--", "true")
        let first = try #require(end.lines.first)
        let store = try JobStore(at: tool.file(".petiole"))
        defer { store.close() }
        let options = EnqueueOptions(
            queue: "behind", after: [.success(of: JobID(rawValue: UInt64(first)!))])
        let jobs = try await store.enqueue(
            contentsOf: (1...6_000).map { _ in Note() }, options: options)
        return (first, JobID(rawValue: jobs.idRanges.last!.upperBound))
    }

    @Test("all that come after a job are cancelled with it before the tool ends")
    func cancelled() async throws {
        let (first, last) = try await fill()
        #expect(try tool.run("cancel", first).status == 0)
        #expect(try tool.run("show", "\(last)").output.contains("cancelled"))
        #expect(try tool.run("drain", "behind", "--timeout", "0s").status == 0)
    }

    @Test("what a process that died has not let go is not taken for left aside: a drain sees to it")
    func drained() async throws {
        let (first, last) = try await fill()
        let dead = try tool.start(
            // The first commit asks, the second records.
            shell: "PETIOLE_CRASH_AT=afterCommit:2 \(Tool.path) cancel \(first)"
        ).end()
        #expect(dead.status == 9)
        #expect(try tool.run("show", "\(last)").output.contains("held"))
        #expect(try tool.run("drain", "behind").output == "nothing is left to run\n")
    }

    @Test("a worker that has nothing to do sees to it too")
    func steward() async throws {
        let (first, last) = try await fill()
        let worker = try tool.start(["worker", "--queue", "behind"])
        _ = try worker.line(beginning: "petiole: runs the queue", inErrors: true)
        let dead = try tool.start(
            // The first commit asks, the second records.
            shell: "PETIOLE_CRASH_AT=afterCommit:2 \(Tool.path) cancel \(first)"
        ).end()
        #expect(dead.status == 9)
        #expect(try tool.run("wait", "\(last)").output == "\(last) cancelled\n")
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
    }
}
