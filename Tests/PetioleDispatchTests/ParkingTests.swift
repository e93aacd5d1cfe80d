import Synchronization
import Testing

@testable import PetioleDispatch

/// Schedules of workers and bringers acted out step by step on one thread: a wait that would not
/// end is a test that hangs, so each test asks who has been picked before it lets anyone wait.
@Suite("Parking") struct ParkingTests {
    private let bell = Bell.allocate()

    @Test("work that comes between \"empty\" and \"parked\" is seen by the second look")
    func lostWakeUp() {
        let parking = Parking(bell: bell)
        let worker = Sleeper()
        let ring = Ring<Int>(capacity: 2)
        #expect(parking.search())
        #expect(ring.pop() == nil)
        // The bringer sees somebody searching, and wakes nobody.
        #expect(ring.push(7))
        parking.workArrived()
        #expect(parking.announce(worker) == .sentinel)
        #expect(ring.pop() == 7)
        parking.leave(worker)
        parking.settle(more: { false })
        #expect(parking.crowd == .init(searching: 0, parked: 0))
    }

    @Test("an offer while the sentinel is about to wait ends that wait before it begins")
    func offerToSentinel() {
        let parking = Parking(bell: bell)
        let worker = Sleeper()
        _ = parking.search()
        let role = parking.announce(worker)
        let seen = bell.value
        parking.workArrived()
        #expect(bell.value != seen)
        parking.wait(worker, as: role, whileBellAt: seen, until: nil)
        parking.leave(worker)
        #expect(parking.crowd == .init(searching: 1, parked: 0))
        parking.settle(more: { false })
    }

    @Test("a ring of the bell while the sentinel looks ends its wait before it begins")
    func ringWhileLooking() {
        let parking = Parking(bell: bell)
        let worker = Sleeper()
        _ = parking.search()
        let role = parking.announce(worker)
        let seen = bell.value
        bell.ring()
        parking.wait(worker, as: role, whileBellAt: seen, until: nil)
        parking.leave(worker)
        parking.settle(more: { false })
    }

    @Test("an offer wakes a private sleeper and leaves the sentinel at the bell")
    func privateFirst() {
        let parking = Parking(bell: bell)
        let (first, second) = (Sleeper(), Sleeper())
        #expect(park(first, parking) == .sentinel)
        #expect(park(second, parking) == .idle)
        let seen = bell.value
        parking.workArrived()
        #expect(second.isPicked)
        #expect(bell.value == seen)
        #expect(parking.crowd == .init(searching: 1, parked: 1))
        // A second offer finds somebody searching already.
        parking.workArrived()
        #expect(parking.crowd == .init(searching: 1, parked: 1))
        // Who settles and knows of more wakes the next: the sentinel now.
        parking.leave(second)
        parking.settle(more: { true })
        #expect(bell.value != seen)
        #expect(parking.crowd == .init(searching: 1, parked: 0))
    }

    @Test("a sentinel that leaves to work wakes a parked worker, who becomes the sentinel")
    func handover() {
        let parking = Parking(bell: bell)
        let (first, second, third) = (Sleeper(), Sleeper(), Sleeper())
        for sleeper in [first, second, third] { _ = park(sleeper, parking) }
        // The bell has woken the sentinel, which finds work.
        parking.leave(first)
        parking.settle(more: { false })
        #expect(third.isPicked && !second.isPicked)
        parking.leave(third)
        #expect(parking.announce(third) == .sentinel)
        #expect(parking.crowd == .init(searching: 0, parked: 2))
    }

    @Test("when two leave to work, the last of them sees that nobody is at the bell")
    func handoverOfTwo() {
        let parking = Parking(bell: bell)
        let (first, second, third) = (Sleeper(), Sleeper(), Sleeper())
        for sleeper in [first, second, third] { _ = park(sleeper, parking) }
        parking.workArrived()
        #expect(third.isPicked)
        parking.leave(first)
        parking.settle(more: { false })
        #expect(!second.isPicked)
        parking.leave(third)
        parking.settle(more: { false })
        #expect(second.isPicked)
    }

    @Test("a worker picked during its last look leaves no token behind")
    func pickedWhileLooking() {
        let parking = Parking(bell: bell)
        let (first, second) = (Sleeper(), Sleeper())
        _ = park(first, parking)
        _ = park(second, parking)
        parking.workArrived()
        parking.leave(second)
        #expect(!second.isPicked)
        #expect(parking.crowd == .init(searching: 1, parked: 1))
    }

    @Test(
        "in every schedule of workers and bringers no work is left to sleepers, nor the bell to nobody"
    )
    func everySchedule() {
        for (workers, bringers, ringers) in [(1, 2, 1), (2, 2, 0), (2, 1, 1), (3, 1, 0)] {
            var seen: Set<[Int]> = []
            var ends = 0
            // Depth first, by the states already seen; a world cannot be copied, so each path is
            // acted out from the beginning.
            var paths: [[Int]] = [[]]
            while let path = paths.popLast() {
                let world = ParkingWorld(workers: workers, bringers: bringers, ringers: ringers)
                defer { world.bell.deallocate() }
                for thread in path { world.step(thread) }
                if !seen.insert(world.fingerprint).inserted { continue }
                let ready = world.ready
                for thread in ready { paths.append(path + [thread]) }
                if ready.isEmpty {
                    ends += 1
                    if let fault = world.fault { Issue.record("\(fault) after \(path)") }
                }
            }
            #expect(ends > 0)
        }
    }

    private func park(_ sleeper: Sleeper, _ parking: Parking) -> Parking.Role {
        _ = parking.search()
        return parking.announce(sleeper)
    }
}

/// Workers that take one ticket each and are then inside a job for ever, and bringers that push one
/// each, in steps between which any other may come. A worker's wait is a step that is ready only
/// once it would end.
private final class ParkingWorld {
    enum Step: Int {
        case look, search, announce, lookAgain, wait, leave, leaveToWork, settle, working
    }

    struct Actor {
        let sleeper = Sleeper()
        var step = Step.look
        var seen: UInt32 = 0
        var role = Parking.Role.idle
    }

    let bell = Bell.allocate()
    let parking: Parking
    let ring: Ring<Int>
    /// What was committed and not yet claimed.
    var committed = 0
    var actors: [Actor]
    /// How many of its two steps each has done: push, wake; the later ones commit, ring the bell.
    var bringers: [Int]
    let firstRinger: Int
    /// Who has announced and not yet left, in that order: what the lot's order follows from.
    var announced: [Int] = []

    init(workers: Int, bringers: Int, ringers: Int) {
        parking = Parking(bell: bell)
        ring = Ring(capacity: bringers)
        actors = (0..<workers).map { _ in Actor() }
        self.bringers = Array(repeating: 0, count: bringers + ringers)
        firstRinger = bringers
    }

    /// All that decides how the world can go on.
    var fingerprint: [Int] {
        let crowd = parking.crowd
        var words = [Int(crowd.searching), Int(crowd.parked), ring.count, committed]
        for actor in actors {
            words.append(actor.step.rawValue)
            words.append(actor.role == .sentinel ? 1 : 0)
            words.append(actor.sleeper.isPicked ? 1 : 0)
            words.append(bell.value == actor.seen ? 1 : 0)
        }
        return words + bringers + announced
    }

    var ready: [Int] {
        (0..<actors.count + bringers.count).filter {
            if $0 >= actors.count { return bringers[$0 - actors.count] < 2 }
            let actor = actors[$0]
            switch actor.step {
            case .working: return false
            case .wait:
                return actor.role == .sentinel
                    ? bell.value != actor.seen : actor.sleeper.isPicked
            default: return true
            }
        }
    }

    func step(_ index: Int) {
        if index >= actors.count { return bring(index - actors.count) }
        var actor = actors[index]
        defer { actors[index] = actor }
        switch actor.step {
        case .look: actor.step = look() == nil ? .search : .working
        case .search:
            _ = parking.search()
            actor.step = .announce
        case .announce:
            actor.role = parking.announce(actor.sleeper)
            actor.seen = bell.value
            announced.append(index)
            actor.step = .lookAgain
        case .lookAgain: actor.step = look() == nil ? .wait : .leaveToWork
        case .wait: actor.step = .leave
        case .leave:
            parking.leave(actor.sleeper)
            announced.removeAll { $0 == index }
            actor.step = look() == nil ? .announce : .settle
        case .leaveToWork:
            parking.leave(actor.sleeper)
            announced.removeAll { $0 == index }
            actor.step = .settle
        case .settle:
            parking.settle(more: { !ring.isEmpty })
            actor.step = .working
        case .working: break
        }
    }

    private func look() -> Int? {
        if let found = ring.pop() { return found }
        if committed == 0 { return nil }
        committed -= 1
        return 0
    }

    private func bring(_ index: Int) {
        switch (bringers[index], index < firstRinger) {
        case (0, true): _ = ring.push(index)
        case (0, false): committed += 1
        case (_, true): parking.workArrived()
        case (_, false): bell.ring()
        }
        bringers[index] += 1
    }

    /// What is wrong when nobody can go on.
    var fault: String? {
        let parked = actors.filter { $0.step == .wait }
        let crowd = parking.crowd
        if crowd.searching != 0 || crowd.parked != parked.count { return "the crowd is miscounted" }
        if !parked.isEmpty && !(ring.isEmpty && committed == 0) { return "work sleeps" }
        if parked.count(where: { $0.role == .sentinel }) != min(parked.count, 1) {
            return "nobody is at the bell"
        }
        return nil
    }
}
