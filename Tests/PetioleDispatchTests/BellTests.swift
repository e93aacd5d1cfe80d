import CPetiole
import Synchronization
import Testing

@testable import PetioleDispatch

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Bell") struct BellTests {
    @Test("a ring between the read and the wait ends the wait at once, also where the word wraps")
    func ringBeforeWait() {
        for start in [UInt32(0), .max] {
            let bell = Bell.allocate(startingAt: start)
            let seen = bell.value
            bell.ring()
            #expect(bell.value == start &+ 1)
            #expect(bell.wait(whileAt: seen))
            bell.deallocate()
        }
    }

    @Test("a wait ends at its deadline, one in the past at once")
    func deadline() {
        let bell = Bell.allocate()
        defer { bell.deallocate() }
        #expect(!bell.wait(whileAt: 0, until: 0))
        #expect(!bell.wait(whileAt: 0, until: -5))
        let until = petiole_real_time() + 1_000_000
        while bell.wait(whileAt: 0, until: until) {}
        #expect(petiole_real_time() >= until)
    }

    @Test("a wait for a while ends after it, and at once when the bell has moved")
    func duration() {
        let bell = Bell.allocate()
        defer { bell.deallocate() }
        #expect(!bell.wait(whileAt: 0, for: 0))
        #expect(!bell.wait(whileAt: 0, for: -5))
        let until = petiole_steady_time() + 1_000_000
        while bell.wait(whileAt: 0, for: until - petiole_steady_time()) {}
        #expect(petiole_steady_time() >= until)
        #expect(bell.wait(whileAt: 1, for: .max))
    }

    @Test(
        "a ring reaches whoever waits, over shared memory as over private",
        arguments: [true, false])
    func wakes(isShared: Bool) throws {
        let (bell, free) = try isShared ? sharedBell() : privateBell()
        let source = ScriptedSource { _, _ in }
        let pool = WorkerPool(source: source, bell: bell, size: 1, spin: .zero)
        let parked = Gate()
        let ran = Gate()
        source.onPark { _ in parked.open() }
        try pool.start()
        parked.pass()
        source.onEmptyClaim { _ in ran.open() }
        bell.ring()
        ran.pass()
        pool.end()
        free()
    }

    private func privateBell() -> (Bell, () -> Void) {
        let bell = Bell.allocate()
        return (bell, { bell.deallocate() })
    }

    private func sharedBell() throws -> (Bell, () -> Void) {
        let memory = try #require(
            mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
        return (
            Bell(shared: memory.assumingMemoryBound(to: UInt32.self)), { munmap(memory, 4096) }
        )
    }
}
