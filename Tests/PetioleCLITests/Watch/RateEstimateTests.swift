import Petiole
import Testing

@testable import PetioleCLI

@Suite("Time left") struct RateEstimateTests {
    /// A run of so many jobs, so many at once, each of about a second, as it would go: the next begins where one ends.
    private struct Simulated {
        var starts: [Double] = []
        var ends: [Double] = []

        init(jobs: Int, atOnce: Int, spread: Double, seed: UInt64) {
            var generator = Seeded(state: seed)
            var free = [Double](repeating: 0, count: atOnce)
            for _ in 0..<jobs {
                let place = free.indices.min { free[$0] < free[$1] } ?? 0
                starts.append(free[place])
                free[place] += 1 + Double.random(in: -spread...spread, using: &generator)
                ends.append(free[place])
            }
        }

        var end: Double { ends.max() ?? 0 }
    }

    private struct Seeded: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state ^ state >> 29) &* 0x9E37_79B9_7F4A_7C15
        }
    }

    @Test(
        "of even work the time left is right within 20 percent once a tenth is done",
        arguments: [(50, 2), (100, 8), (400, 8), (1_000, 3), (3_000, 64)],
        [0.0, 0.1, 0.3])
    func even(run: (jobs: Int, atOnce: Int), spread: Double) {
        let simulated = Simulated(
            jobs: run.jobs, atOnce: run.atOnce, spread: spread, seed: UInt64(run.jobs))
        var estimate = RateEstimate()
        var looks = 0
        for tick in 1...Int(simulated.end / 0.37) {
            let now = Double(tick) * 0.37
            let done = simulated.ends.indices.filter { simulated.ends[$0] <= now }
            let running = simulated.starts.indices.filter {
                simulated.starts[$0] <= now && simulated.ends[$0] > now
            }
            let total = done.reduce(0) { $0 + simulated.ends[$1] - simulated.starts[$1] }
            estimate.look(
                at: now, ended: done.count, running: running.map { now - simulated.starts[$0] },
                average: done.isEmpty ? nil : total / Double(done.count))
            // The last jobs, of which no other follows, take as long as they take.
            let left = simulated.end - now
            guard done.count * 10 >= run.jobs, left > 5 else { continue }
            looks += 1
            let told = estimate.timeLeft(of: run.jobs) ?? 0
            #expect(abs(told - left) <= left * 0.2, "at \(now): \(told) and not \(left)")
        }
        #expect(looks > 10)
    }

    @Test("when work goes slower than before, what is told comes to be what it is now")
    func slower() {
        var estimate = RateEstimate()
        for tick in 1...3_000 {
            // A hundred a second for a minute, then ten.
            let now = Double(tick) / 10
            let ended = now < 60 ? now * 100 : 6_000 + (now - 60) * 10
            estimate.look(at: now, ended: Int(ended), running: [], average: 0.01)
        }
        // 5,000 are left after 300 s, and 28 a second have gone on average.
        let told = estimate.timeLeft(of: 8_400 + 5_000) ?? 0
        #expect((200...500).contains(told))
    }

    @Test(
        "nothing is told before anything was done, and one that runs too long does not make it less than nothing"
    )
    func beginning() {
        var estimate = RateEstimate()
        #expect(estimate.timeLeft(of: 10) == nil)
        estimate.look(at: 1, ended: 0, running: [1, 1], average: nil)
        #expect(estimate.timeLeft(of: 10) == nil && estimate.rate == nil)
        estimate.look(at: 2, ended: 9, running: [100], average: 0.2)
        #expect(estimate.timeLeft(of: 10) == 0)
    }
}

@Suite("Histogram of run times") struct RunTimeHistogramTests {
    @Test("percentiles are those of the sorted run times, 3 percent off at most")
    func percentiles() {
        var histogram = RunTimeHistogram()
        var all: [Int] = []
        var number = 1
        for _ in 0..<10_000 {
            number = number * 48_271 % 2_147_483_647
            // From microseconds to hours.
            let time = 1 << (number % 34) + number % 1_000
            all.append(time)
            histogram.add(.microseconds(time))
        }
        all.sort()
        for percent in [1.0, 10, 50, 90, 95, 99, 100] {
            let exact = Double(
                all[max(0, Int((Double(all.count) * percent / 100).rounded(.up)) - 1)])
            let told = Double(histogram.percentile(percent)?.wholeMicroseconds ?? 0)
            #expect(abs(told - exact) <= exact * 0.033 + 1, "\(percent): \(told), \(exact)")
        }
        #expect(histogram.longest == .microseconds(all[all.count - 1]))
        #expect(histogram.count(from: 0, below: .max) == all.count)
        #expect(RunTimeHistogram().percentile(50) == nil)
    }

    @Test(
        "the rows of a report hold each job once, whatever the spread",
        arguments: [[1], [7, 7, 7], [100, 104], [900, 1_000, 1_300], [1, 10_000_000_000]])
    func rows(times: [Int]) {
        var histogram = RunTimeHistogram()
        for time in times { histogram.add(.microseconds(time)) }
        let rows = RunTimeRows.of(histogram)
        #expect(rows.reduce(0) { $0 + $1.count } == times.count)
        #expect((1...14).contains(rows.count))
        #expect(zip(rows, rows.dropFirst()).allSatisfy { $0.to == $1.from && $0.from < $0.to })
    }
}

@Suite("Buckets of time") struct TimeBucketsTests {
    @Test("none is lost however times come, and the span is covered")
    func whole() {
        for seed in 1...20 {
            var buckets = TimeBuckets()
            var number = seed
            var times: [Int] = []
            for _ in 0..<500 {
                number = number * 48_271 % 2_147_483_647
                times.append(1_700_000_000_000_000 + number % (1 << (seed + 10)))
            }
            for time in times { buckets.add(time) }
            #expect(buckets.used.reduce(0, +) == times.count)
            #expect(buckets.used.count <= TimeBuckets.count)
            #expect(buckets.start <= times.min()!)
            #expect(buckets.start + buckets.width * buckets.used.count > times.max()!)
            // Each is in the bucket of its time.
            var counts = [Int](repeating: 0, count: buckets.used.count)
            for time in times { counts[(time - buckets.start) / buckets.width] += 1 }
            #expect(Array(buckets.used) == counts)
            let rates = buckets.rates(37)
            let part = Double(buckets.width * buckets.used.count) / 37 / 1_000_000
            #expect(abs(rates.reduce(0, +) * part - Double(times.count)) < 0.001)
        }
    }
}
