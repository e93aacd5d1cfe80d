import Testing

@testable import Petiole

@Suite("Stoppables") struct StoppablesTests {
    // limits                                worker
    // finds that the limit of 7 has passed
    //                                       ends that attempt, begins the next of 7
    // asks 7 to stop                        ← would hit the next one
    @Test("a stop and a kill that come late do not hit the job's next attempt")
    func late() {
        let heard = Trace<String>()
        let stoppables = Stoppables()
        for attempt in 1...2 {
            stoppables.add(7, startedAt: Int64(attempt)) {
                heard.add("stop \(attempt)")
            } kill: {
                heard.add("kill \(attempt)")
            }
            stoppables.stop(7, startedAt: 1)
            stoppables.kill(7, startedAt: 1)
            if attempt == 1 { stoppables.remove(7) }
        }
        #expect(heard.items == ["stop 1", "kill 1"])
        // Who cancels a job means whichever runs.
        stoppables.stop(7)
        #expect(heard.items.last == "stop 2")
    }
}
