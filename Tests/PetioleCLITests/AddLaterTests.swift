import Petiole
import Testing

@testable import PetioleCLI

@Suite("petiole add, for later", .ownThreads) struct AddLaterTests {
    let tool = Tool()

    @Test("a command waits for a while, or for a time, and expires so long after")
    func later() throws {
        let soon = try tool.run("add", "--in", "1h", "--", "true")
        #expect(soon.status == 0)
        #expect(try tool.run("add", "--at", "23:59", "--expires", "6h", "--", "true").status == 0)
        #expect(
            try tool.run("add", "--at", "2199-01-01T00:00Z", "--", "true").status == 0)
        #expect(
            try tool.run("add", "--in", "0s", "--expires", "1h", "--", "touch", "done").status == 0)
        let waiting = try tool.run("jobs", "--state", "waiting", "--json")
        #expect(waiting.lines.count == 3)
        #expect(waiting.output.contains(#""due":"2199-01-01T00:00:00.000000Z""#))
        // Three wait, so there is an end to what a worker has to do before they come.
        let worker = try tool.start(["worker", "-j1", "--verbose"])
        _ = try worker.line(beginning: "petiole: job 4 succeeded", inErrors: true)
        worker.send(15)
        _ = worker.end()
        #expect(tool.exists("done"))
        for wrong in [
            ["--in", "soon"], ["--at", "25:00"], ["--at", "1:2:3"], ["--expires", "x"],
            ["--in", "1h", "--at", "18:00"],
        ] {
            let end = try tool.run(
                bytes: (["add"] + wrong + ["--", "true"]).map { Array($0.utf8) })
            #expect(end.status == 64, "\(wrong)")
        }
    }

    @Test("a time of day is the next one that the clocks show")
    func clock() throws {
        let now = WallTime(microseconds: 1_795_780_800_000_000)
        let local = TimeText.local(now)
        let (hour, minute) = (local.dropFirst(11).prefix(2), local.dropFirst(14).prefix(2))
        let same = try #require(TimeText.nextClock("\(hour):\(minute)", after: now))
        // It is that time now: the next is tomorrow's, in a day without a change of the clocks.
        #expect(same.microseconds - now.microseconds > 22 * 3_600 * 1_000_000)
        #expect(same.microseconds - now.microseconds <= 26 * 3_600 * 1_000_000)
        #expect(TimeText.local(same).dropFirst(11).hasPrefix("\(hour):\(minute):00"))
        for text in ["", "18", "18:60", "24:00", "018:00", "a:b", "-1:00"] {
            #expect(TimeText.nextClock(text, after: now) == nil, "\(text)")
        }
    }
}
