import Synchronization
import Testing

@testable import Petiole

@Suite("Held batches") struct HeldBatchesTests {
    private struct Four: BatchJob {
        static let batchLimit = 4
        static let batchWait = Duration.nanoseconds(100)
        static func run(_ batch: [BatchItem<Four>]) throws -> [Result<Int, any Error>] { [] }
    }

    private final class Clock: Sendable {
        let now = Atomic<Int64>(1_000)
        // Sequentially consistent: not worth an argument.
        var read: Int64 { now.load(ordering: .sequentiallyConsistent) }
        func advance(_ by: Int64) { now.add(by, ordering: .sequentiallyConsistent) }
    }

    private static func queue(_ id: UInt32) -> OwnedQueue {
        OwnedQueue(name: "q\(id)", id: id, epoch: 1, path: "") { _ in }
    }

    private static func item(_ id: Int) -> HeldBatches.Item {
        HeldBatches.Item(id: UInt64(id), tag: 1)
    }

    @Test("the last of as many as fit takes all of them, whatever else is held")
    func full() {
        let held = HeldBatches(now: { 0 })
        let (one, two) = (TypedBatchEntry(Four.self), TypedBatchEntry(Four.self))
        let queues = [Self.queue(1), Self.queue(2)]
        for id in 1...3 {
            for entry in [one, two] {
                for queue in queues {
                    switch held.add(Self.item(id), entry, queue) {
                    case .waitBegins: #expect(id == 1)
                    case .held: #expect(id > 1)
                    case .full: Issue.record("three of four are not full")
                    }
                }
            }
        }
        guard case .full(let batch) = held.add(Self.item(4), two, queues[0]) else {
            Issue.record("four of four are full")
            return
        }
        #expect(batch.entry === two && batch.queue === queues[0])
        #expect(batch.items.map(\.id) == [1, 2, 3, 4])
        guard case .waitBegins = held.add(Self.item(5), two, queues[0]) else {
            Issue.record("the next one is the first of the next batch")
            return
        }
    }

    @Test(
        "a wait is over when the first has been held for so long, and counts from the first alone")
    func due() throws {
        let clock = Clock()
        let held = HeldBatches(now: { clock.read })
        let entry = TypedBatchEntry(Four.self)
        #expect(held.untilDue == nil && held.ticketOfDue() == nil)
        _ = held.add(Self.item(1), entry, Self.queue(1))
        clock.advance(60)
        _ = held.add(Self.item(2), entry, Self.queue(1))
        #expect(held.untilDue == 40 && held.ticketOfDue() == nil)
        clock.advance(39)
        #expect(held.untilDue == 1 && held.ticketOfDue() == nil)
        clock.advance(1)
        #expect(held.untilDue == 0)
        let ticket = try #require(held.ticketOfDue())
        #expect(ticket.tag == HeldBatches.tag && ticket.count == 1)
        #expect(held.untilDue == nil && held.ticketOfDue() == nil)
        let batch = try #require(held.take(ticket.first))
        #expect(batch.items.map(\.id) == [1, 2])
        // Once: whoever steals the ticket has it.
        #expect(held.take(ticket.first) == nil)
    }

    @Test("what is put back goes first, is due at once, and in parts that fit")
    func putBack() throws {
        let clock = Clock()
        let held = HeldBatches(now: { clock.read })
        let (entry, queue) = (TypedBatchEntry(Four.self), Self.queue(1))
        _ = held.add(Self.item(8), entry, queue)
        let early = HeldBatches.Batch(
            entry: entry, queue: queue, items: (1...6).map(Self.item), dueAt: 500)
        held.putBack(early.items[...], of: early)
        held.putBack([], of: early)
        var batches: [[UInt64]] = []
        while let ticket = held.ticketOfDue() {
            batches.append(try #require(held.take(ticket.first)).items.map(\.id))
        }
        #expect(batches == [[1, 2, 3, 4], [5, 6, 8]])
    }

    @Test("one that comes when more are held than fit takes as many as fit, and the rest is due")
    func fullOfPutBack() throws {
        let clock = Clock()
        let held = HeldBatches(now: { clock.read })
        let (entry, queue) = (TypedBatchEntry(Four.self), Self.queue(1))
        let early = HeldBatches.Batch(
            entry: entry, queue: queue, items: (1...6).map(Self.item), dueAt: 500)
        held.putBack(early.items[...], of: early)
        guard case .full(let batch) = held.add(Self.item(7), entry, queue) else {
            Issue.record("seven of four are full")
            return
        }
        #expect(batch.items.map(\.id) == [1, 2, 3, 4])
        #expect(held.count == 3 && held.untilDue == 0)
        let ticket = try #require(held.ticketOfDue())
        #expect(try #require(held.take(ticket.first)).items.map(\.id) == [5, 6, 7])
        #expect(held.count == 0 && held.ticketOfDue() == nil)
    }
}
