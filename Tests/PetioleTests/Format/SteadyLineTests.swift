import Testing

@testable import Petiole

@Suite("Steady line") struct SteadyLineTests {
    private let second: Int64 = 1_000_000

    private func line(_ base: Int64, known steady: Int64, at wall: Int64, boot: UInt64 = 1)
        -> SteadyLine
    {
        SteadyLine(boot: boot, base: base * second, steady: steady * second, wall: wall * second)
    }

    private func next(
        _ last: SteadyLine?, boot: UInt64, uptime: Int64, wall: Int64
    ) -> SteadyLine {
        SteadyLine(after: last, boot: boot, uptime: uptime * second, wall: wall * second)
    }

    @Test("it begins where the system's clock stands")
    func begins() {
        #expect(
            next(nil, boot: 1, uptime: 100, wall: 5_000) == line(4_900, known: 5_000, at: 5_000))
    }

    @Test("as long as the machine runs it stays, wherever the clock is set", arguments: [0, 9_000])
    func stays(wall: Int64) {
        let last = line(4_900, known: 5_000, at: 5_000)
        #expect(next(last, boot: 1, uptime: 100, wall: wall) == last)
        #expect(next(last, boot: 1, uptime: 90_000, wall: wall) == last)
    }

    @Test("after a start of the machine it goes on by what the clock has gone on, and never back")
    func restarts() {
        // Known to stand at 5,000 when the clock, which had been set ahead by 3,600, stood at 8,600.
        let last = line(4_900, known: 5_000, at: 8_600)
        #expect(
            next(last, boot: 2, uptime: 10, wall: 8_700)
                == line(5_090, known: 5_100, at: 8_700, boot: 2))
        // The clock was lost while it was off: as long as it runs again at least.
        #expect(
            next(last, boot: 2, uptime: 10, wall: 0) == line(5_000, known: 5_010, at: 0, boot: 2))
        // A mark that does not change is found out when the count begins anew.
        #expect(
            next(last, boot: 1, uptime: 10, wall: 8_700) == line(5_090, known: 5_100, at: 8_700))
    }

    @Test("that the clock was set is known beyond a second")
    func outdated() {
        let last = line(0, known: 100, at: 100)
        for (wall, isOutdated) in [
            (200, false), (201, false), (202, true), (199, false), (10, true),
        ] {
            let now = ClockReading(wall: Int64(wall) * second, steady: 200 * second)
            #expect(last.isOutdated(now) == isOutdated)
            #expect(!last.known(now).isOutdated(now))
            #expect(last.known(now).base == 0)
        }
    }

    @Test("times of both lines are in order, kept in bounds, and each goes by its own clock")
    func times() {
        let now = ClockReading(wall: 1_000, steady: 5_000)
        let wall = StoreTime(wall: 1_500)
        let steady = StoreTime(now, after: 500)
        #expect(!wall.isSteady && steady.isSteady && steady.microseconds == 5_500)
        #expect(wall < .firstSteady && .firstSteady <= steady)
        #expect(StoreTime(wall: .max) < .firstSteady && StoreTime(wall: -1) == 0)
        #expect(StoreTime(now, after: .max) == StoreTime(steady: .max))
        #expect(StoreTime(steady: .max).rawValue > 0)
        #expect(wall.left(now) == 500 && steady.left(now) == 500)
        let set = ClockReading(wall: 9_000, steady: 5_499)
        #expect(wall.hasPassed(set) && wall.left(set) == 0)
        #expect(!steady.hasPassed(set) && steady.left(set) == 1)
        #expect(steady.hasPassed(ClockReading(wall: 0, steady: 5_500)))
        #expect(StoreTime(rawValue: .min) == 0 && StoreTime(rawValue: -1).isSteady)
        // Shown by the clock as it stands, to a millisecond.
        let ahead = ClockReading(wall: 7_200_000_400, steady: 3_600_000_000)
        #expect(StoreTime(steady: 10).instant(ahead) == 3_600_000_010)
        #expect(wall.instant(ahead) == 1_500)
    }
}
