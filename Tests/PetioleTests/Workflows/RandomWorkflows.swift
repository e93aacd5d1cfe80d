import Synchronization

@testable import Petiole

/// A workflow drawn at random, as a value that can be enqueued and that can be thought through.
indirect enum RandomWorkflow {
    /// A step, by its number.
    case step(Int)
    case chain([RandomWorkflow])
    /// Side by side, and the number of the step behind them.
    case group([RandomWorkflow], FailureRule, end: Int)
    /// Equal jobs with these numbers, and the step behind them.
    case many(Range<Int>, FailureRule, end: Int)
    case calling(RandomWorkflow, NodeCondition, Int)

    static func draw(
        _ last: inout Int, depth: Int, _ random: inout some RandomNumberGenerator
    ) -> RandomWorkflow {
        func number() -> Int {
            last += 1
            return last
        }
        switch depth == 0 ? 0 : Int.random(in: 0...5, using: &random) {
        case 1, 2:
            return .chain(
                (0..<Int.random(in: 1...4, using: &random)).map { _ in
                    draw(&last, depth: depth - 1, &random)
                })
        case 3:
            return .group(
                (0..<Int.random(in: 0...4, using: &random)).map { _ in
                    draw(&last, depth: depth - 1, &random)
                }, rule(&random), end: number())
        case 4:
            let first = last + 1
            last += Int.random(in: 0...6, using: &random)
            return .many(first..<last + 1, rule(&random), end: number())
        case 5:
            let condition: [NodeCondition] = [.onSuccess, .onFailure, .onEnd]
            return .calling(
                draw(&last, depth: depth - 1, &random), condition.randomElement(using: &random)!,
                number())
        default: return .step(number())
        }
    }

    private static func rule(_ random: inout some RandomNumberGenerator) -> FailureRule {
        switch Int.random(in: 0...3, using: &random) {
        case 0: .goOn
        case 1: .stop(after: Int.random(in: 1...3, using: &random))
        default: .cancelRest
        }
    }

    /// As it is enqueued.
    var workflow: Workflow<Int> {
        switch self {
        case .step(let number): Workflow(Drawn(number: number))
        case .chain(let parts):
            parts.dropFirst().reduce(parts[0].workflow) { $0.then($1.workflow) }
        case .group(let members, let rule, let end):
            Group(members.map { $0.workflow }).onFailure(rule)
                .then(independent: Drawn(number: end))
        case .many(let numbers, let rule, let end):
            Group(each: Array(numbers)) { Drawn(number: $0) }.onFailure(rule)
                .then(independent: Drawn(number: end))
        case .calling(let inner, let condition, let number):
            switch condition {
            case .onSuccess: inner.workflow.onSuccess(run: Drawn(number: number))
            case .onFailure: inner.workflow.onFailure(run: Drawn(number: number))
            case .onEnd, .always: inner.workflow.onEnd(run: Drawn(number: number))
            }
        }
    }
}

/// Fails when its number is among those that do; notes that it ran.
struct Drawn: Job {
    static let retryPolicy = RetryPolicy.never
    static let failing = Mutex<Set<Int>>([])
    static let ran = Mutex<[Int]>([])
    var number: Int
    func run(_ context: JobContext) throws -> Int {
        Self.ran.withLock { $0.append(number) }
        if Self.failing.withLock({ $0.contains(number) }) { throw Refusal() }
        return number
    }
}

/// The rules thought through, over the parts as they were drawn: jobs end one after the other.
final class RulesInMemory {
    /// How a job is, as far as the rules know.
    enum State: Equatable { case waiting, ready, succeeded, failed, cancelled }

    private final class Part {
        enum Kind {
            case step(Int)
            case sequence([Part])
            case side([Part])
            case scope(FailureRule, Part, calls: (NodeCondition, Int)?)
        }
        let kind: Kind
        weak var parent: Part?
        var next = 0
        var left = 0
        var failures = 0
        var hasEnded = false
        /// Of those side by side: one has not succeeded.
        var hasFailed = false

        init(_ kind: Kind) {
            self.kind = kind
            switch kind {
            case .step: break
            case .sequence(let parts), .side(let parts):
                left = parts.count
                for part in parts { part.parent = self }
            case .scope(_, let body, _): body.parent = self
            }
        }
    }

    private(set) var states: [Int: State] = [:]
    private var steps: [Int: Part] = [:]
    private let whole: Part
    /// Whether all of it has succeeded; nil: it has not ended.
    private(set) var result: Bool?

    init(_ drawn: RandomWorkflow) {
        var states: [Int: State] = [:]
        var steps: [Int: Part] = [:]
        func step(_ number: Int) -> Part {
            let part = Part(.step(number))
            states[number] = .waiting
            steps[number] = part
            return part
        }
        func part(_ drawn: RandomWorkflow) -> Part {
            switch drawn {
            case .step(let number): return step(number)
            case .chain(let parts): return Part(.sequence(parts.map { part($0) }))
            case .group(let members, let rule, let end):
                let side = Part(.side(members.map { part($0) }))
                return Part(.sequence([Part(.scope(rule, side, calls: nil)), step(end)]))
            case .many(let numbers, let rule, let end):
                let side = Part(.side(numbers.map { step($0) }))
                return Part(.sequence([Part(.scope(rule, side, calls: nil)), step(end)]))
            case .calling(let inner, let condition, let number):
                states[number] = .waiting
                return Part(.scope(.cancelRest, part(inner), calls: (condition, number)))
            }
        }
        whole = Part(.scope(.cancelRest, part(drawn), calls: nil))
        self.states = states
        self.steps = steps
        begin(whole)
    }

    /// A job has ended. Returns false when it may not have run.
    func ended(_ number: Int, succeeded: Bool) -> Bool {
        guard states[number] == .ready else { return false }
        states[number] = succeeded ? .succeeded : .failed
        // A callback belongs to nothing.
        guard let part = steps[number] else { return true }
        if !succeeded, let scope = scope(around: part) { fail(scope) }
        end(part, succeeded)
        return true
    }

    private func scope(around part: Part) -> Part? {
        var next = part.parent
        while let found = next {
            if case .scope = found.kind { return found }
            next = found.parent
        }
        return nil
    }

    private func isDead(_ part: Part) -> Bool {
        var next: Part? = part
        while let found = next {
            if case .scope = found.kind, found.hasEnded { return true }
            next = found.parent
        }
        return false
    }

    private func begin(_ part: Part) {
        if isDead(part) { return }
        switch part.kind {
        case .step(let number): states[number] = .ready
        case .sequence(let parts): begin(parts[0])
        case .side(let parts):
            if parts.isEmpty { end(part, true) }
            for part in parts { begin(part) }
        case .scope(_, let body, _): begin(body)
        }
    }

    /// A part has ended.
    private func end(_ part: Part, _ succeeded: Bool) {
        guard let parent = part.parent else { return }
        if isDead(parent) { return }
        switch parent.kind {
        case .step: break
        case .sequence(let parts):
            parent.next += 1
            if parent.next < parts.count {
                begin(parts[parent.next])
            } else {
                end(parent, succeeded)
            }
        case .side:
            parent.left -= 1
            if !succeeded { parent.hasFailed = true }
            if parent.left == 0 { end(parent, !parent.hasFailed) }
        case .scope(let rule, _, _): endScope(parent, succeeded || rule != .cancelRest)
        }
    }

    private func endScope(_ scope: Part, _ succeeded: Bool) {
        guard !scope.hasEnded else { return }
        let outer = self.scope(around: scope)
        if !succeeded, let outer { fail(outer) }
        if case .scope(_, _, let calls?) = scope.kind {
            let isDue = calls.0 == .onEnd || (calls.0 == .onSuccess) == succeeded
            states[calls.1] = isDue ? .ready : .cancelled
        }
        if outer == nil { result = succeeded }
        end(scope, succeeded)
        scope.hasEnded = true
    }

    private func fail(_ scope: Part) {
        guard case .scope(let rule, let body, _) = scope.kind, !scope.hasEnded else { return }
        scope.failures += 1
        let stops =
            switch rule {
            case .cancelRest: true
            case .goOn: false
            case .stop(let after): scope.failures >= after
            }
        guard stops else { return }
        // What lies in it does not go on, but its callbacks may.
        cancel(body)
        endScope(scope, false)
    }

    private func cancel(_ part: Part) {
        switch part.kind {
        case .step(let number):
            if states[number] == .waiting || states[number] == .ready {
                states[number] = .cancelled
            }
        case .sequence(let parts), .side(let parts): for part in parts { cancel(part) }
        case .scope(_, let body, let calls):
            let hadEnded = part.hasEnded
            part.hasEnded = true
            cancel(body)
            if !hadEnded, let calls { states[calls.1] = calls.0 == .onEnd ? .ready : .cancelled }
        }
    }
}
