import Testing

@testable import PetioleDispatch

@Suite("Ring") struct RingTests {
    @Test("a full ring refuses the next element and keeps the ones it holds", arguments: 1...5)
    func refusesWhenFull(capacity: Int) throws {
        let ring = Ring<Int>(capacity: capacity)
        for element in 0..<capacity { try #require(ring.push(element)) }
        #expect(!ring.push(capacity))
        #expect(ring.count == capacity)
        for element in 0..<capacity { #expect(ring.pop() == element) }
        #expect(ring.pop() == nil)
    }

    @Test("every sequence of nine pushes and pops does what a list does, wherever the turns begin")
    func everySequence() {
        for capacity in 1...5 {
            for startIndex in 0..<capacity {
                for startLap in [UInt64(0), (1 << 32) / 8 - 1, .max, .max - 1] {
                    for script in 0..<(1 << 9) {
                        let ring = Ring<Int>(
                            capacity: capacity, startLap: startLap, startIndex: startIndex)
                        var model: [Int] = []
                        var agrees = true
                        for step in 0..<9 {
                            if script >> step & 1 == 1 {
                                let fits = model.count < capacity
                                agrees = agrees && ring.push(step) == fits
                                if fits { model.append(step) }
                            } else {
                                let first = model.isEmpty ? nil : model.removeFirst()
                                agrees = agrees && ring.pop() == first
                            }
                            agrees = agrees && ring.count == model.count
                            agrees = agrees && ring.isEmpty == model.isEmpty
                        }
                        if !agrees {
                            Issue.record(
                                "capacity \(capacity), start \(startLap):\(startIndex), script \(script)"
                            )
                        }
                    }
                }
            }
        }
    }

    @Test("the counters wrap in the middle of a long run without a trace", arguments: 1...5)
    func wraps(capacity: Int) {
        let ring = Ring<UInt64>(capacity: capacity, startLap: .max - 9, startIndex: 0)
        for round in UInt64(0)..<100 {
            for element in 0..<UInt64(capacity) { #expect(ring.push(round * 8 + element)) }
            #expect(!ring.push(0))
            for element in 0..<UInt64(capacity) { #expect(ring.pop() == round * 8 + element) }
        }
    }

    /// The steps of `push` and `pop` one by one, for two of each, in every order: each load, swap
    /// and store of the real ones is one step here.
    @Test("no order of the steps of two pushes and two pops loses or doubles an element")
    func everyInterleaving() {
        for capacity in 1...2 {
            var seen: Set<RingWorld> = []
            var stack = [RingWorld(capacity: capacity)]
            var ends = 0
            while let world = stack.popLast() {
                if !seen.insert(world).inserted { continue }
                var isEnd = true
                for thread in 0..<4 where !world.threads[thread].isDone {
                    isEnd = false
                    var next = world
                    next.step(thread)
                    stack.append(next)
                }
                if isEnd {
                    ends += 1
                    #expect(world.isSound)
                }
            }
            #expect(ends > 0)
        }
    }
}

/// A model of the ring in which a step is one access to shared memory. Each thread tries its
/// operation once.
private struct RingWorld: Hashable {
    struct Thread: Hashable {
        var isPush: Bool
        var value = 0
        var position = 0
        var program = 0
        var result: Int?
        var isDone: Bool { program == 9 }
    }

    var capacity: Int
    var lapLength: Int
    var tail = 0
    var head = 0
    var turns: [Int]
    var elements: [Int?]
    var threads: [Thread]
    var isTorn = false

    init(capacity: Int) {
        self.capacity = capacity
        lapLength = capacity == 1 ? 2 : 4
        turns = Array(0..<capacity)
        elements = Array(repeating: nil, count: capacity)
        threads = [
            Thread(isPush: true, value: 1), Thread(isPush: true, value: 2), Thread(isPush: false),
            Thread(isPush: false),
        ]
    }

    func next(_ position: Int) -> Int {
        position % lapLength + 1 == capacity
            ? position - position % lapLength + lapLength : position + 1
    }

    mutating func step(_ index: Int) {
        var thread = threads[index]
        defer { threads[index] = thread }
        let slot = thread.position % lapLength
        let wanted = thread.isPush ? thread.position : thread.position + 1
        switch thread.program {
        case 0:
            thread.position = thread.isPush ? tail : head
            thread.program = 1
        case 1:
            let turn = turns[slot]
            thread.program = turn == wanted ? 2 : turn < wanted ? 9 : 0
        case 2:
            let current = thread.isPush ? tail : head
            if current != thread.position {
                thread.position = current
                thread.program = 1
            } else if thread.isPush {
                tail = next(current)
                thread.program = 3
            } else {
                head = next(current)
                thread.program = 3
            }
        case 3:
            if thread.isPush {
                if elements[slot] != nil { isTorn = true }
                elements[slot] = thread.value
                thread.result = thread.value
            } else {
                if elements[slot] == nil { isTorn = true }
                thread.result = elements[slot]
                elements[slot] = nil
            }
            thread.program = 4
        default:
            turns[slot] = thread.isPush ? thread.position + 1 : thread.position + lapLength
            thread.program = 9
        }
    }

    /// What went in is what came out and what is still there, once each.
    var isSound: Bool {
        let pushed = threads.filter(\.isPush).compactMap(\.result).sorted()
        let popped = threads.filter { !$0.isPush }.compactMap(\.result)
        return !isTorn && (popped + elements.compactMap { $0 }).sorted() == pushed
    }
}
