import Testing

@testable import Petiole

@Suite("Run times of commands") struct RunTimesTests {
    @Test("the median of many times is found, one percent off at most")
    func median() {
        var times = RunTimes()
        #expect(times.median == .zero)
        var generator = SeededGenerator(state: 3)
        var all: [Int] = []
        for count in 1...2_000 {
            let exponent = Int.random(in: 0...40, using: &generator)
            let microseconds = Int.random(in: 0...(1 << exponent), using: &generator)
            times.add(.microseconds(microseconds))
            all.append(microseconds)
            guard count % 97 == 0 || count < 5 else { continue }
            let real = all.sorted()[all.count / 2]
            let (seconds, attoseconds) = times.median.components
            let found = Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
            #expect(found <= real && Double(found) >= Double(real) * 0.98, "\(found), \(real)")
        }
    }

    @Test("a time of any length is counted")
    func extremes() {
        var times = RunTimes()
        times.add(.seconds(Int64.max))
        #expect(times.median > .seconds(1 << 39))
        times.add(.seconds(-1))
        times.add(.zero)
        #expect(times.median == .zero)
    }
}
