import Synchronization
import Testing

@testable import Petiole

@Suite("Start gate", .timeLimit(.minutes(10))) struct StartGateTests {
    private func rules(_ set: (inout StartGate.Rules) -> Void) -> StartGate.Rules {
        var rules = StartGate.Rules()
        set(&rules)
        return rules
    }

    @Test("starts come no closer to each other than the pause between them")
    func delay() {
        let gate = StartGate(rules { $0.delay = .milliseconds(20) })
        let start = ContinuousClock.now
        for _ in 0..<4 { #expect(gate.pass() == []) }
        // However slow the machine is, four starts have three pauses between them.
        #expect(start.duration(to: .now) >= .milliseconds(60))
    }

    @Test("who waits at a gate that is stopped does not begin, nor who comes later")
    func stop() async throws {
        let gate = StartGate(rules { $0.delay = .seconds(100_000) })
        #expect(gate.pass() == [])
        let passed = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<3 {
                group.addTask { try await onThread("test-gate") { gate.pass() != nil } }
            }
            gate.stop()
            return try await group.reduce(into: [Bool]()) { $0.append($1) }
        }
        #expect(passed == [false, false, false])
        #expect(gate.pass() == nil)
    }

    @Test("nothing begins while there is too little memory, which is said once")
    func memory() {
        let available = Mutex<[UInt64]>([10, 20, 100, 100])
        let said = Mutex<[UInt64]>([])
        let gate = StartGate(
            rules {
                $0.memory = 50
                $0.onShortage = { bytes in said.withLock { $0.append(bytes) } }
            },
            availableMemory: { available.withLock { $0.removeFirst() } })
        #expect(gate.pass() == [])
        #expect(said.withLock { $0 } == [10])
        #expect(available.withLock { $0.count } == 1)
    }

    @Test("a system that does not tell how much memory there is keeps nobody waiting")
    func unknownMemory() {
        #expect(StartGate(rules { $0.memory = .max }, availableMemory: { nil }).pass() == [])
        // This one does.
        #expect(StartGate(rules { $0.memory = 1 }).pass() == [])
    }
}
