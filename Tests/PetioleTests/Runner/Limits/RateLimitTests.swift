import Synchronization
import Testing

@testable import Petiole

@Suite("Rate limits") struct RateLimitTests {
    @Test("no attempt starts before its token is there", arguments: [false, true])
    func rate(perKey: Bool) async throws {
        try await withStore { store in
            let rate = RateLimit(10, per: .milliseconds(20), burst: 3)
            let limits = perKey ? JobLimits(ratePerKey: rate) : JobLimits(rate: rate)
            let starts = Trace<ContinuousClock.Instant>()
            let work = JobClosure("work", limits: limits) { (number: Int, _) -> Int in
                starts.add(.now)
                return number
            }
            let options = EnqueueOptions(limitKey: "one")
            try await store.numbers("work", Array(0..<40), options: options)
            // The bucket is empty when the runner starts, and no start comes before its token: however slow the machine is.
            let begun = ContinuousClock.now
            try await makeRunner(store, [work], workers: 2).run {}
            let times = starts.items.sorted()
            #expect(times.count == 40)
            for (index, time) in times.enumerated() {
                #expect(time - begun >= .milliseconds(2) * (index + 1))
            }
        }
    }

    @Test("a type that has no token yet lets the others pass, and a changed rate lets it go on")
    func changed() async throws {
        try await withStore { store in
            let slow = JobClosure(
                "slow", limits: JobLimits(rate: RateLimit(1, per: .seconds(86_400)))
            ) { (number: Int, _) in number }
            let plain = JobClosure("plain") { (number: Int, _) in number }
            try await makeRunner(store, [slow, plain], workers: 2).run {
                let jobs = try await store.numbers("slow", Array(0..<100))
                try await expectEqual(store.numbers("plain", [7])[0].result, 7)
                #expect(try jobs.allSatisfy { try $0.state == .ready })
                try await store.setLimits(
                    JobLimits(rate: RateLimit(1_000_000, per: .seconds(1))), ofJob: "slow")
                for job in jobs { _ = try await job.result }
            }
        }
    }

    @Test("a queue that has no token keeps its jobs, and the other queue goes on")
    func queue() async throws {
        try await withStore { store in
            let there = JobClosure("there", queue: "slow") { (number: Int, _) in number }
            let here = JobClosure("here") { (number: Int, _) in number }
            try await makeRunner(store, [there, here]) {
                $0.queueOptions["slow"] = JobRunner.QueueOptions(
                    rate: RateLimit(1, per: .seconds(86_400)))
            }.run {
                let job = try await store.numbers(
                    "there", [1], options: EnqueueOptions(queue: "slow"))[0]
                try await expectEqual(store.numbers("here", [7])[0].result, 7)
                #expect(try job.state == .ready)
                try await store.setLimits(ofQueue: "slow")
                try await expectEqual(job.result, 1)
            }
        }
    }
}
