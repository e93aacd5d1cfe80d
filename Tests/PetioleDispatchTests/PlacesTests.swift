import Synchronization
import Testing

@testable import PetioleDispatch

@Suite("Places", .timeLimit(.minutes(10))) struct PlacesTests {
    /// What jobs say of themselves, and what they wait for.
    private final class Stage: Sendable {
        let begun = (0..<8).map { _ in Gate() }
        let mayEnd = (0..<8).map { _ in Gate() }
        let running = Atomic<Int>(0)
        let order = Guarded<[String]>([])
        let all = Gate()

        func play(_ id: Int) {
            order.withLock { $0.append("begin \(id)") }
            begun[id].open()
            mayEnd[id].pass()
            let isLast = order.withLock { order in
                order.append("end \(id)")
                return order.count == 16
            }
            if isLast { all.open() }
        }
    }

    @Test("a job more begins when there is a place more, and none while too many run")
    func changes() throws {
        let stage = Stage()
        let source = ScriptedSource { id, _ in stage.play(Int(id)) }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 1, spareLimit: 3)
        try pool.start()
        for id in 0..<8 { source.commit(Ticket(first: UInt64(id), count: 1)) }
        bell.ring()
        stage.begun[0].pass()
        #expect(pool.placeCount == 1)
        #expect(pool.setPlaces(3) == 3)
        stage.begun[1].pass()
        stage.begun[2].pass()
        // No more threads than there are.
        #expect(pool.setPlaces(9) == 4)
        stage.begun[3].pass()
        #expect(pool.setPlaces(0) == 1)
        for id in 0..<8 { stage.mayEnd[id].open() }
        stage.all.pass()
        // Four ran when there was a place for one: three end before another begins, and from there on it is one by one.
        let order = stage.order.withLock { $0 }
        let begun4 = try #require(order.firstIndex(of: "begin 4"))
        #expect(order[..<begun4].filter { $0.hasPrefix("end") }.count == 4)
        for id in 5..<8 {
            let begun = try #require(order.firstIndex(of: "begin \(id)"))
            #expect(order[..<begun].filter { $0.hasPrefix("end") }.count == id, "\(order)")
        }
        pool.end()
        bell.deallocate()
    }

    @Test("places that come and go while jobs do leave each job run once, and none waiting")
    func churn() throws {
        let jobs = 20_000
        let seen = SeenOnce(count: jobs)
        let all = Gate()
        let running = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let source = ScriptedSource { id, _ in
            let now = running.add(1, ordering: .relaxed).newValue
            most.max(now, ordering: .relaxed)
            running.subtract(1, ordering: .relaxed)
            if seen.mark(id) { all.open() }
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 2, spareLimit: 6)
        try pool.start()
        var random = SystemRandomNumberGenerator()
        for id in 0..<jobs {
            source.commit(Ticket(first: UInt64(id), count: 1))
            bell.ring()
            if id % 16 == 0 {
                let wanted = Int.random(in: 1...8, using: &random)
                #expect(pool.setPlaces(wanted) == wanted)
            }
        }
        all.pass()
        #expect(seen.isComplete)
        #expect(most.load(ordering: .relaxed) <= 8)
        // Whatever came and went, as many can run at once as there are places now.
        #expect(pool.setPlaces(5) == 5)
        pool.end()
        #expect(
            source.starts.load(ordering: .acquiring) == source.ends.load(ordering: .acquiring))
        bell.deallocate()
    }

    @Test("jobs that wait for others and places that change do not take each other's threads")
    func besideBlocking() throws {
        let waits = Gate()
        let end = Gate()
        let source = ScriptedSource { id, worker in
            if id == 0 {
                #expect(worker.pool.blocking { waits.pass() } != nil)
                end.open()
            } else {
                waits.open()
            }
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 2, spareLimit: 2)
        try pool.start()
        #expect(pool.setPlaces(1) == 1)
        #expect(pool.offer(Ticket(first: 0, count: 1)))
        #expect(pool.offer(Ticket(first: 1, count: 1)))
        end.pass()
        pool.end()
        bell.deallocate()
    }
}
