import CPetiole
import Synchronization
import Testing

@testable import PetioleDispatch

@Suite("WorkerPool", .timeLimit(.minutes(10))) struct PoolTests {
    @Test(
        "producers, claims and thieves together: every id is run once", arguments: [1, 2, 4],
        [UInt32(1), 16])
    func stress(size: Int, runLength: UInt32) async throws {
        let (producers, perProducer) = (3, 20_000)
        let total = 2 * producers * perProducer
        let seen = SeenOnce(count: total)
        let all = Gate()
        let source = ScriptedSource(runLength: runLength) { id, _ in
            if seen.mark(id) { all.open() }
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: size)
        try pool.start()
        let threads = try (0..<producers).map { producer in
            try PoolThread.start("producer") {
                var id = UInt64(producer * 2 * perProducer)
                let end = id + UInt64(2 * perProducer)
                while id < end {
                    let count = min(1 + id % 7, end - id)
                    let ticket = Ticket(first: id, count: UInt32(count))
                    if id % 2 == 0 {
                        pool.offerInTheEnd(ticket)
                    } else {
                        source.commit(ticket)
                        bell.ring()
                    }
                    id += count
                }
            }
        }
        for thread in threads { thread.join() }
        all.pass()
        pool.end()
        #expect(seen.isComplete)
        #expect(source.starts.load(ordering: .acquiring) == size)
        #expect(source.ends.load(ordering: .acquiring) == size)
        bell.deallocate()
    }

    @Test("one commit and one ring bring all parked workers to a long ticket")
    func spreads() throws {
        let size = 4
        let inside = Atomic<Int>(0)
        let allInside = Gate()
        let source = ScriptedSource { _, _ in
            if inside.add(1, ordering: .acquiringAndReleasing).newValue == size {
                allInside.open()
            }
            allInside.pass()
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: size, spin: .zero)
        let parked = Gate()
        source.onPark { if $0 == size { parked.open() } }
        try pool.start()
        parked.pass()
        source.commit(Ticket(first: 0, count: UInt32(size)))
        bell.ring()
        allInside.pass()
        pool.end()
        bell.deallocate()
    }

    @Test("nobody waits behind a slow neighbour: its rest is stolen by who was parked")
    func stealsFromSlow() throws {
        let others = Gate()
        let done = Atomic<Int>(0)
        let source = ScriptedSource { id, _ in
            if id == 0 {
                others.pass()
            } else if done.add(1, ordering: .acquiringAndReleasing).newValue == 31 {
                others.open()
            }
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 2)
        try pool.start()
        #expect(pool.offer(Ticket(first: 0, count: 32)))
        others.pass()
        pool.end()
        #expect(done.load(ordering: .acquiring) == 31)
        bell.deallocate()
    }

    @Test("a full ring refuses and nobody waits; what it held is not begun after a stop")
    func refuses() throws {
        let source = ScriptedSource { _, _ in }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 1)
        for id in UInt64(0)..<2 { #expect(pool.offer(Ticket(first: id, count: 1))) }
        #expect(!pool.offer(Ticket(first: 2, count: 1)))
        pool.stop()
        try pool.start()
        pool.join()
        #expect(pool.ticketsWaiting == 2)
        #expect(!pool.offer(Ticket(first: 3, count: 1)))
        bell.deallocate()
    }

    @Test("an idle pool is not woken, and stop ends it from its wait")
    func idle() throws {
        let source = ScriptedSource { _, _ in }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 3, spin: .zero)
        let parked = Gate()
        source.onPark { if $0 == 3 { parked.open() } }
        try pool.start()
        parked.pass()
        pool.end()
        // Each looked before and after its announcement, and once more at most when it was woken to
        // end.
        #expect(source.parks.load(ordering: .acquiring) == 3)
        #expect(source.claims.load(ordering: .acquiring) == 6)
        bell.deallocate()
    }

    @Test("a sentinel whose deadline has come asks the source again")
    func deadline() throws {
        let source = ScriptedSource { _, _ in }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 2, spin: .zero)
        let again = Gate()
        source.deadline.store(0, ordering: .releasing)
        source.onEmptyClaim { if $0 == 20 { again.open() } }
        try pool.start()
        again.pass()
        source.deadline.store(-1, ordering: .releasing)
        pool.end()
        bell.deallocate()
    }

    @Test("a stop lets the job that runs come to its end and begins no other of its ticket")
    func stops() throws {
        let begun = Gate()
        let goOn = Gate()
        let count = Atomic<Int>(0)
        let source = ScriptedSource { _, _ in
            begun.open()
            goOn.pass()
            count.add(1, ordering: .relaxed)
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 1)
        try pool.start()
        #expect(pool.offer(Ticket(first: 0, count: 10)))
        begun.pass()
        pool.stop()
        goOn.open()
        pool.join()
        #expect(count.load(ordering: .acquiring) == 1)
        bell.deallocate()
    }

    @Test("workers' threads have names, block SIGPIPE and know their worker")
    func threads() throws {
        let names = Guarded<[String]>([])
        let done = Gate()
        let source = ScriptedSource { _, worker in
            var bytes = [CChar](repeating: 0, count: 16)
            #expect(petiole_thread_name(&bytes, 16) == 0)
            #expect(petiole_blocks_sigpipe() == 1)
            #expect(Worker.current === worker)
            names.withLock {
                $0.append(String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self))
            }
            done.open()
        }
        let bell = Bell.allocate()
        let pool = WorkerPool(source: source, bell: bell, size: 1)
        try pool.start()
        #expect(pool.offer(Ticket(first: 0, count: 1)))
        done.pass()
        pool.end()
        #expect(names.withLock { $0 } == ["petiole-0"])
        #expect(Worker.current == nil)
        bell.deallocate()
    }
}
