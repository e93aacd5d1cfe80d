import Synchronization
import Testing

@testable import PetioleDispatch

@Suite("Rest") struct RestTests {
    @Test("the owner takes runs from the front, a thief the later half, and nobody twice")
    func takesAndSteals() {
        let rest = SharedRest()
        #expect(taken(rest, upTo: 8).isEmpty)
        #expect(rest.steal() == nil)
        rest.load(Ticket(first: 100, count: 10, tag: 7))
        #expect(taken(rest, upTo: 3) == [100, 101, 102])
        #expect(rest.steal() == Ticket(first: 106, count: 4, tag: 7))
        #expect(rest.steal() == Ticket(first: 104, count: 2, tag: 7))
        #expect(rest.steal() == Ticket(first: 103, count: 1, tag: 7))
        #expect(rest.steal() == nil)
        #expect(taken(rest, upTo: 1).isEmpty)
        rest.load(Ticket(first: .max, count: 1, tag: 8))
        #expect(rest.tag == 8)
        #expect(taken(rest, upTo: 5) == [.max])
        #expect(rest.isEmpty)
    }

    @Test(
        "tickets come out whole where the offsets cross a half or go around",
        arguments: [UInt32(Int32.max) - 5, .max - 5, .max, 0])
    func crossesHalves(start: UInt32) {
        let rest = SharedRest(startOffset: start)
        for round in UInt64(0)..<8 {
            rest.load(Ticket(first: round * 1000, count: 4, tag: UInt32(round)))
            #expect(taken(rest, upTo: 1) == [round * 1000])
            #expect(
                rest.steal() == Ticket(first: round * 1000 + 2, count: 2, tag: UInt32(round)))
            #expect(taken(rest, upTo: 9) == [round * 1000 + 1])
        }
        rest.load(Ticket(first: 5, count: Ticket.maximumCount, tag: 1))
        #expect(rest.take(upTo: .max)?.count == Ticket.maximumCount)
        #expect(rest.isEmpty)
    }

    @Test("no order of the steps of an owner and a thief hands out a wrong id, or one twice")
    func everyInterleaving() {
        let outcome = RestWorld.explore(waitsForGuests: true)
        #expect(outcome.ends > 0)
        #expect(outcome.unsound == 0)
    }

    @Test("the same search finds the fault when the owner does not wait for guests")
    func theSearchBites() {
        #expect(RestWorld.explore(waitsForGuests: false).unsound > 0)
    }

    @Test("an owner and thieves at work together see each id once")
    func together() async {
        let total = 60_000
        let seen = SeenOnce(count: total)
        let rest = SharedRest(startOffset: .max - 30_000)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var first = 0
                while first < total {
                    let count = min(1 + first % 37, total - first)
                    rest.value.load(Ticket(first: UInt64(first), count: UInt32(count)))
                    while let run = rest.value.take(upTo: 2) { seen.mark(run.first, run.count) }
                    first += count
                }
                rest.isOver.store(true, ordering: .releasing)
            }
            for _ in 0..<2 {
                group.addTask {
                    while !rest.isOver.load(ordering: .acquiring) {
                        if let ticket = rest.value.steal() { seen.mark(ticket.first, ticket.count) }
                    }
                }
            }
        }
        #expect(seen.isComplete)
    }

    private func taken(_ rest: SharedRest, upTo limit: UInt32) -> [UInt64] {
        guard let run = rest.take(upTo: limit) else { return [] }
        return (0..<run.count).map { run.first &+ UInt64($0) }
    }
}

private final class SharedRest: Sendable {
    let value: Rest
    let isOver = Atomic<Bool>(false)

    init(startOffset: UInt32 = 0) { value = Rest(startOffset: startOffset) }

    func load(_ ticket: Ticket) { value.load(ticket) }
    func take(upTo limit: UInt32) -> (first: UInt64, count: UInt32)? { value.take(upTo: limit) }
    func steal() -> Ticket? { value.steal() }
    var isEmpty: Bool { value.isEmpty }
    var tag: UInt32 { value.tag }
}

/// `Rest` in a world of four offsets (halves of two, tickets of one), in which a step is one access
/// to shared memory. The owner loads and takes a number of tickets; a thief steals once at any
/// time.
private struct RestWorld: Hashable {
    static let tickets = 6
    static let offsets = 4

    var waitsForGuests: Bool
    var next = 0
    var end = 0
    var first = 0
    var label = 0
    var guests = 0
    // The owner.
    var ticket = 0
    var lastStart = 0
    var start = 0
    var ownerStep = 0
    // The thief.
    var thiefStep = 0
    var readNext = 0
    var readEnd = 0
    var readFirst = 0
    var readLabel = 0
    // Which ids were handed out, by bits; an id of the ticket `t` is 10 + 3t.
    var taken: Set<Int> = []
    var isUnsound = false

    var isEmpty: Bool { next == end }

    mutating func hand(out id: Int) {
        let isReal = id >= 10 && (id - 10) % 3 == 0 && (id - 10) / 3 < ticket + 1
        if !isReal || !taken.insert(id).inserted { isUnsound = true }
    }

    var ownerCanStep: Bool {
        if ticket == RestWorld.tickets { return false }
        return !(ownerStep == 0 && mustWait && guests > 0)
    }
    var mustWait: Bool { waitsForGuests && end(ofLast: lastStart) / 2 != lastStart / 2 }
    func end(ofLast start: Int) -> Int {
        ticket == 0 ? start : (start + 1) % RestWorld.offsets
    }

    mutating func stepOwner() {
        switch ownerStep {
        case 0:  // Has waited for guests where it must.
            start = end(ofLast: lastStart)
            lastStart = start
            ownerStep = 1
        case 1:
            first = 10 + 3 * ticket
            ownerStep = 2
        case 2:
            label = start
            ownerStep = 3
        case 3:
            (next, end) = (start, (start + 1) % RestWorld.offsets)
            ownerStep = 4
        default:  // Takes, if the thief has not.
            if !isEmpty {
                hand(out: first + distance(from: label, to: next))
                next = end
            }
            ticket += 1
            ownerStep = 0
        }
    }

    mutating func stepThief() {
        switch thiefStep {
        case 0: thiefStep = isEmpty ? 7 : 1
        case 1:
            guests += 1
            thiefStep = 2
        case 2:
            (readNext, readEnd) = (next, end)
            thiefStep = isEmpty ? 6 : 3
        case 3:
            readFirst = first
            thiefStep = 4
        case 4:
            readLabel = label
            thiefStep = 5
        case 5:
            if next == readNext && end == readEnd {
                end = next
                hand(out: readFirst + distance(from: readLabel, to: readNext))
                thiefStep = 6
            } else {
                thiefStep = 2
            }
        default:
            guests -= 1
            thiefStep = 7
        }
    }

    func distance(from start: Int, to offset: Int) -> Int {
        (offset - start + RestWorld.offsets) % RestWorld.offsets
    }

    static func explore(waitsForGuests: Bool) -> (ends: Int, unsound: Int) {
        var seen: Set<RestWorld> = []
        var stack = [RestWorld(waitsForGuests: waitsForGuests)]
        var (ends, unsound) = (0, 0)
        while let world = stack.popLast() {
            if !seen.insert(world).inserted { continue }
            var isEnd = true
            if world.ownerCanStep {
                var after = world
                after.stepOwner()
                stack.append(after)
                isEnd = false
            }
            if world.thiefStep < 7 {
                var after = world
                after.stepThief()
                stack.append(after)
                isEnd = false
            }
            guard isEnd else { continue }
            ends += 1
            if world.isUnsound || world.taken.count != RestWorld.tickets { unsound += 1 }
        }
        return (ends, unsound)
    }
}
