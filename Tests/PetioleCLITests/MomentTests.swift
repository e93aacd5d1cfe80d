import Petiole
import Testing

@testable import PetioleCLI

@Suite("Moments") struct MomentTests {
    private let now = WallTime(microseconds: 1_700_000_000_000_000)

    @Test(
        "an age of any length is a time before now",
        arguments: ["0s", "90m", "2w", "1000000000d", "1000000000w"])
    func ages(text: String) throws {
        let past = try Moment.past(text).instant(now)
        #expect(past.microseconds <= now.microseconds)
        #expect(try Moment.future(text).instant(now).microseconds >= now.microseconds)
        let tool = Tool()
        #expect(try tool.run("add", "--", "true").status == 0)
        #expect(try tool.run("jobs", "--since", text).status == 0)
    }

    @Test("a duration of any length has a number of microseconds that can be added to an instant")
    func durations() {
        #expect(Duration.seconds(2).wholeMicroseconds == 2_000_000)
        #expect(Duration.milliseconds(-1_500).wholeMicroseconds == -1_500_000)
        #expect(Duration.seconds(Int64.max).wholeMicroseconds == Int.max >> 1)
        #expect(Duration.seconds(Int64.min).wholeMicroseconds == -(Int.max >> 1))
    }
}
