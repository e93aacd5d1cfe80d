import Synchronization
import Testing

@testable import PetioleDispatch

@Suite("Blocking", .timeLimit(.minutes(10))) struct BlockingTests {
    @Test("in a pool of one, a chain of jobs that each wait for the next comes to its end")
    func chain() throws {
        let length = 10
        let gates = (0...length).map { _ in Gate() }
        let source = ScriptedSource { id, worker in
            let id = Int(id)
            if id < length {
                #expect(worker.pool.offer(Ticket(first: UInt64(id) + 1, count: 1)))
                #expect(worker.pool.blocking { gates[id + 1].pass() } != nil)
            }
            gates[id].open()
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 1)
        try pool.start()
        #expect(pool.offer(Ticket(first: 0, count: 1)))
        gates[0].pass()
        pool.end()
        let starts = source.starts.load(ordering: .acquiring)
        #expect((2...length + 1).contains(starts))
        #expect(source.ends.load(ordering: .acquiring) == starts)
        bell.deallocate()
    }

    @Test("what is left of the ticket of a worker that blocks is taken by the spare thread")
    func restIsStolen() throws {
        let last = Gate()
        let end = Gate()
        let source = ScriptedSource { id, worker in
            if id == 0 {
                #expect(worker.pool.blocking { last.pass() } != nil)
                end.open()
            } else if id == 7 {
                last.open()
            }
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 1)
        try pool.start()
        #expect(pool.offer(Ticket(first: 0, count: 8)))
        end.pass()
        pool.end()
        bell.deallocate()
    }

    @Test("beyond the limit the caller is told, and has not waited")
    func limit() throws {
        let told = Gate()
        let source = ScriptedSource { id, worker in
            if id < 2 {
                #expect(worker.pool.offer(Ticket(first: id + 1, count: 1)))
                #expect(worker.pool.blocking { told.pass() } != nil)
            } else {
                #expect(worker.pool.blocking { Issue.record("ran beyond the limit") } == nil)
                told.open()
            }
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 1, spareLimit: 2)
        try pool.start()
        #expect(pool.offer(Ticket(first: 0, count: 1)))
        told.pass()
        pool.end()
        bell.deallocate()
    }

    @Test("jobs that block again and again use the same few threads and never more places")
    func reuse() throws {
        let (jobs, size) = (2_000, 2)
        let running = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let seen = SeenOnce(count: jobs)
        let all = Gate()
        let source = ScriptedSource { id, worker in
            let now = running.add(1, ordering: .acquiringAndReleasing).newValue
            _ = most.max(now, ordering: .relaxed)
            _ = worker.pool.blocking {}
            running.subtract(1, ordering: .acquiringAndReleasing)
            if seen.mark(id) { all.open() }
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: size, spareLimit: 3)
        try pool.start()
        for id in 0..<jobs { pool.offerInTheEnd(Ticket(first: UInt64(id), count: 1)) }
        all.pass()
        pool.end()
        #expect(seen.isComplete)
        #expect(most.load(ordering: .acquiring) <= size + 3)
        #expect(source.starts.load(ordering: .acquiring) <= size + 3)
        bell.deallocate()
    }

    @Test("outside the pool, and inside another one, blocking just runs what it is given")
    func outside() {
        let bell = Bell.allocate()
        let pool = WorkerPool(source: ScriptedSource { _, _ in }, bell: bell, size: 1)
        #expect(pool.blocking { pool.blocking { 5 } } == 5)
        #expect(throws: ThreadError(code: 3)) {
            try pool.blocking { () throws(ThreadError) in throw ThreadError(code: 3) }
        }
        bell.deallocate()
    }
}
