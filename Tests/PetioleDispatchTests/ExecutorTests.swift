import Synchronization
import Testing

@testable import PetioleDispatch

@Suite("PoolExecutor", .timeLimit(.minutes(10))) struct ExecutorTests {
    @Test("tasks run on the pool's threads, also after they were suspended")
    func runs() async throws {
        let bell = Bell.allocate()
        let pool = WorkerPool(source: ScriptedSource { _, _ in }, bell: bell, size: 2)
        try pool.start()
        let isOurs = await Task(executorPreference: pool.executor) {
            let before = PoolThread.current != nil
            await Task.yield()
            return before && PoolThread.current != nil
        }.value
        #expect(isOurs)
        pool.end()
        bell.deallocate()
    }

    @Test("ten thousand tasks at once are accepted and all of them run")
    func neverRefuses() async throws {
        let bell = Bell.allocate()
        let pool = WorkerPool(source: ScriptedSource { _, _ in }, bell: bell, size: 2)
        try pool.start()
        let sum = await withTaskGroup(of: Int.self) { group in
            for number in 0..<10_000 {
                group.addTask(executorPreference: pool.executor) {
                    await Task.yield()
                    return number
                }
            }
            return await group.reduce(0, +)
        }
        #expect(sum == 10_000 * 9_999 / 2)
        pool.end()
        bell.deallocate()
    }

    @Test("tasks run while every worker is inside a synchronous job that waits for them")
    func runsBesideJobs() async throws {
        let size = 2
        let ran = Gate()
        let inside = Atomic<Int>(0)
        let bell = Bell.allocate()
        let (entered, enter) = AsyncStream.makeStream(of: Void.self)
        let source = ScriptedSource { _, _ in
            if inside.add(1, ordering: .acquiringAndReleasing).newValue == size { enter.finish() }
            ran.pass()
        }
        let pool = WorkerPool(source: source, bell: bell, size: size)
        try pool.start()
        for id in 0..<UInt64(size) { #expect(pool.offer(Ticket(first: id, count: 1))) }
        for await _ in entered {}
        await Task(executorPreference: pool.executor) {
            await Task.yield()
            ran.open()
        }.value
        pool.end()
        bell.deallocate()
    }

    @Test("tasks run before the start and after the end of the pool")
    func runsWithoutWorkers() async throws {
        let bell = Bell.allocate()
        let pool = WorkerPool(source: ScriptedSource { _, _ in }, bell: bell, size: 1)
        #expect(await Task(executorPreference: pool.executor) { 1 }.value == 1)
        try pool.start()
        #expect(await Task(executorPreference: pool.executor) { 2 }.value == 2)
        pool.end()
        for number in 3..<50 {
            let value = await Task(executorPreference: pool.executor) {
                await Task.yield()
                return number
            }.value
            #expect(value == number)
        }
        bell.deallocate()
    }

    @Test("tasks that never end for long do not keep tickets from being run")
    func fair() async throws {
        let done = Atomic<Bool>(false)
        let bell = Bell.allocate()
        let source = ScriptedSource { _, _ in done.store(true, ordering: .releasing) }
        let pool = WorkerPool(source: source, bell: bell, size: 1)
        try pool.start()
        let task = Task(executorPreference: pool.executor) {
            while !done.load(ordering: .acquiring) { await Task.yield() }
        }
        #expect(pool.offer(Ticket(first: 0, count: 1)))
        await task.value
        pool.end()
        bell.deallocate()
    }

    @Test("a task that blocks for another one, and says so, leaves its place to that one")
    func blockingTask() async throws {
        let bell = Bell.allocate()
        for starts in [true, false] {
            let pool = WorkerPool(source: ScriptedSource { _, _ in }, bell: bell, size: 1)
            if starts { try pool.start() }
            let other = Gate()
            await Task(executorPreference: pool.executor) {
                Task(executorPreference: pool.executor) { other.open() }
                #expect(pool.blocking { other.pass() } != nil)
            }.value
            pool.end()
        }
        bell.deallocate()
    }
}
