import Foundation
import PetioleTesting
import Testing

@testable import Petiole

@Suite("Examples of Workflows.md") struct WorkflowExamplesTests {
    private static let types = WorkflowExamples.types

    @Test("chains, groups, chords and what they are nested to give what the page says")
    func composed() async throws {
        try await withStore { store in
            try await makeRunner(store, jobs: Self.types, workers: 2).run {
                try await expectEqual(WorkflowExamples.chain(store).result, 7)
                try await expectEqual(WorkflowExamples.group(store).summary.ended, 10)
                let pages = (0..<10).map { "page \($0)" }.joined(separator: ", ")
                try await expectEqual(WorkflowExamples.chord(store), pages)
                let words = (0..<2_500).map { "word\($0)" }
                let length = words.reduce(0) { $0 + $1.count }
                let sums = try await WorkflowExamples.chunks(store, words)
                #expect(sums == (length, length))
                // Twelve pages of eight letters, and a comma and a space between them.
                try await expectEqual(WorkflowExamples.nested(store).result, 12 * 8 + 11 * 2)
            }
        }
    }

    @Test("a graph's steps read by name, and a mapping makes the input")
    func graphs() async throws {
        try await withStore { store in
            try await makeRunner(store, jobs: Self.types).run {
                let book = try await WorkflowExamples.graph(store)
                _ = try await book.result
                let summary = try book.summary
                #expect(summary.steps.map { $0.name } == ["text", "cover", "index", "whole"])
                let last = JobID(rawValue: try #require(summary.steps.last).ids[0].lowerBound)
                let whole = store.handle(of: last, as: WorkflowExamples.Assemble.self)
                try await expectEqual(whole.result, ["page 0", "page", "1"])
            }
            try await expectEqual(WorkflowExamples.mapped(store), "------")
        }
    }

    @Test("a job gives way to a workflow, and enqueues another with its success")
    func growing() async throws {
        try await withStore { store in
            try await makeRunner(store, jobs: Self.types).run {
                let grown = try await store.enqueue(
                    chain: WorkflowExamples.Chapter(pages: 3), then: WorkflowExamples.Publish())
                try await expectEqual(grown.result, "page 0, page 1, page 2".count)
                try await expectEqual(store.waitUntilDrained(), .drained)
            }
            let names = try store.jobs(JobFilter(), limit: 100).map { $0.name }
            #expect(names.suffix(3) == ["leaflet", "Render", "Print"])
        }
    }

    @Test("callbacks are told what failed, and those that were not called are cancelled")
    func callbacks() async throws {
        try await withStore { store in
            WorkflowExamples.Print.empty.withLock { _ = $0.insert("callbacks") }
            let bad = try await WorkflowExamples.callbacks(store, "callbacks")
            let good = try await WorkflowExamples.callbacks(store, "full")
            let cancelled = try await WorkflowExamples.callbacks(store, "full")
            try await store.cancel(cancelled)
            try await makeRunner(store, jobs: Self.types).run {}
            func said(_ id: JobID) throws -> [String?] {
                try store.workflow(id).steps.filter { $0.condition != .always }.map {
                    let id = JobID(rawValue: $0.ids[0].lowerBound)
                    return try $0.state == .succeeded ? store.details(of: id).resultJSON() : nil
                }
            }
            expectEqual(try said(good), ["\"printed\"", nil, "\"over\""])
            let text = "Print is deadLetter"
            expectEqual(try said(cancelled), [nil, nil, "\"over\""])
            expectEqual(try said(bad), [nil, "\"not printed: \(text)\"", "\"over: \(text)\""])
        }
    }

    @Test("failures are handed on as values, up to as many as the rule says")
    func rules() async throws {
        try await withStore { store in
            try await makeRunner(store, jobs: Self.types).run {
                let (text, some) = try await WorkflowExamples.rules(store)
                #expect(text.split(separator: ", ")[13] == "a page is missing")
                try await expectEqual(store.waitForEnd(of: some).kind, .succeeded)
            }
        }
    }

    @Test("a stalled workflow says where, and goes on from there")
    func stalled() async throws {
        try await withStore { store in
            WorkflowExamples.Print.empty.withLock { _ = $0.insert("stalled") }
            let workflow = Workflow(WorkflowExamples.Render(page: 1))
                .then(WorkflowExamples.Print(printer: "stalled"))
            let handle = try await store.enqueue(workflow)
            try await makeRunner(store, jobs: Self.types).run {
                let stuck = try await WorkflowExamples.stalled(handle)
                #expect(stuck == [JobID(rawValue: handle.id.rawValue + 2)])
                WorkflowExamples.Print.empty.withLock { _ = $0.remove("stalled") }
                try await expectEqual(WorkflowExamples.resumed(store, handle), 6)
            }
            expectEqual(try WorkflowExamples.watching(handle).progress.done, 2)
            let first = try store.details(of: JobID(rawValue: handle.id.rawValue + 1)).summary
            guard case .ended(let outcome) = first.state else {
                Issue.record("it has not ended")
                return
            }
            #expect(outcome.attempt == 1)
        }
    }

    @Test("options are handed down, and a step's own come first")
    func options() async throws {
        try await withStore { store in
            let handle = try await WorkflowExamples.options(store)
            var found: [String] = []
            for step in try handle.summary.steps {
                let job = try store.details(of: JobID(rawValue: step.ids[0].lowerBound)).summary
                found.append("\(job.queue) \(job.priority) \(job.metadata.tags)")
            }
            let tags = ["book"]
            #expect(found == ["nightly 7 \(tags)", "nightly 4 \(tags)", "printers 1 \(tags)"])
            expectEqual(try handle.summary.progress.total, 5)
            try await expectEqual(WorkflowExamples.cancelling(store, handle), .cancelled)
            expectEqual(try store.counts().cancelled, 4)
        }
    }

    @Test("a step with a due time of its own waits for it, counted from the enqueue")
    func due() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let later = EnqueueOptions(due: .after(.seconds(60)))
            let handle = try await store.enqueue(
                Workflow(WorkflowExamples.Render(page: 1))
                    .then(WorkflowExamples.Proofread(), options: later))
            try await makeRunner(store, jobs: Self.types).run {
                let first = JobID(rawValue: handle.id.rawValue + 1)
                _ = try await store.waitForEnd(of: first)
                let last = JobID(rawValue: first.rawValue + 1)
                guard case .waiting = try store.state(of: last) else {
                    Issue.record("it does not wait: \(try store.state(of: last))")
                    return
                }
                expectEqual(try handle.summary.steps[1].state, .started)
                clock.advance(.seconds(61))
                try await expectEqual(handle.result, "Page 1")
            }
        }
    }

    @Test("a file is split, transformed side by side, merged in order and verified, over a restart")
    func file() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let source = directory.path + "/source"
        let lines = (0..<5_000).map { "line \($0) of the file" }
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: source))
        let store = try directory.open()
        let first = try await WorkflowExamples.file(store, source, directory.path)
        // A program that ends when the file has been split.
        try await makeRunner(store, jobs: [WorkflowExamples.Split.self]).run {}
        store.close()
        let again = try directory.open()
        let second = try await WorkflowExamples.file(again, source, directory.path)
        #expect(second.id == first.id)
        let types: [any JobType.Type] = [
            WorkflowExamples.Split.self, WorkflowExamples.Transform.self,
            WorkflowExamples.Merge.self, WorkflowExamples.Verify.self,
        ]
        try await makeRunner(again, jobs: types, workers: 2).run {
            let merged = try await second.result
            #expect(merged.lines == 5_000)
            let text = try String(contentsOf: URL(filePath: merged.path), encoding: .utf8)
            #expect(text == lines.map { $0.uppercased() + "\n" }.joined())
        }
        let summary = try second.summary
        #expect(summary.steps.map { $0.name } == ["Split", "Verify"])
        let inner = try again.workflow(try #require(summary.steps[0].inner))
        #expect(inner.steps[0].jobs > 20 && inner.steps.map { $0.name } == ["Transform", "Merge"])
        again.close()
    }

    @Test(
        "what a step came to decides about the rest and the workflow as the page's table says",
        arguments: [Outcome.Kind.failed, .deadLetter, .discarded],
        [FailureRule.cancelRest, .goOn, .stop(after: 2), .stop(after: 1)])
    func table(kind: Outcome.Kind, rule: FailureRule) async throws {
        try await withStore { store in
            let group = Group(count: 4) { Ends(number: $0, kind: $0 == 1 ? kind.rawValue : "") }
                .onFailure(rule)
            let alone = try await store.enqueue(group)
            let sum = try await store.enqueue(group.then(WorkflowExamples.Total()))
            let count = try await store.enqueue(group.then(CountFailures()))
            let stops = rule == .cancelRest || rule == .stop(after: 1)
            let types: [any JobType.Type] = [
                Ends.self, WorkflowExamples.Total.self, CountFailures.self,
            ]
            try await makeRunner(store, jobs: types).run {
                try await expectEqual(alone.waitForAll().kind, kind)
                try await expectEqual(
                    store.waitForEnd(of: count.id).kind, stops ? kind : .succeeded)
                try await expectEqual(store.waitForEnd(of: sum.id).kind, stops ? kind : .failed)
            }
            #expect(
                try count.summary.steps.map { $0.state }
                    == (stops ? [.failed, .cancelled] : [.failed, .succeeded]))
            // What had started by then has succeeded.
            #expect(try stops ? count.summary.failed >= 2 : count.summary.failed == 1)
        }
    }

    @Test("a step that was cancelled, or has expired, ends its workflow with the same")
    func notStarted() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let chain = Workflow(WorkflowExamples.Render(page: 1))
            let cancelled = try await store.enqueue(
                chain.then(WorkflowExamples.Proofread()).then(WorkflowExamples.Print()))
            try await store.cancel(JobID(rawValue: cancelled.id.rawValue + 2))
            let soon = EnqueueOptions(expiry: .after(.seconds(60)))
            let expired = try await store.enqueue(
                chain.then(WorkflowExamples.Proofread(), options: soon)
                    .then(WorkflowExamples.Print()))
            clock.advance(.seconds(61))
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(store.waitForEnd(of: cancelled.id).kind, .cancelled)
                try await expectEqual(store.waitForEnd(of: expired.id).kind, .expired)
            }
            #expect(try cancelled.summary.cause == JobID(rawValue: cancelled.id.rawValue + 2))
        }
    }

    @Test("of what was accepted, a result that is no such type makes a dead letter that names both")
    func undecodable() async throws {
        try await withStore { store in
            let wrong = try await store.enqueue(
                Workflow(WorkflowExamples.Render(page: 1)).then(independentOf()))
            try await makeRunner(store, jobs: Self.types + [ReadsNumber.self]).run {
                do {
                    _ = try await wrong.result
                    Issue.record("it has a result")
                } catch JobError.failed(_, _, let failure, isDeadLetter: true) {
                    #expect(failure.message.contains("Render"))
                    #expect(failure.message.contains("Int"))
                }
            }
        }
    }

    private func independentOf() -> Workflow<Int> { Workflow(ReadsNumber()) }
}

/// Ends as it is told.
private struct Ends: Job {
    struct Refusal: Error {}
    static let retryPolicy = RetryPolicy.never
    var number: Int
    var kind: String
    func run(_ context: JobContext) throws -> Int {
        switch kind {
        case Outcome.Kind.failed.rawValue: throw Refusal()
        case Outcome.Kind.deadLetter.rawValue: throw JobControl.deadLetter("as it was told")
        case Outcome.Kind.discarded.rawValue: throw JobControl.discard("as it was told")
        default: return number
        }
    }
}

private struct CountFailures: CollectingJob {
    static let retryPolicy = RetryPolicy.never
    func run(_ results: MemberResults<Int>, _ context: JobContext) -> Int {
        results.reduce(0) {
            if case .failure = $1 { $0 + 1 } else { $0 }
        }
    }
}

private struct ReadsNumber: Job {
    func run(_ context: JobContext) throws -> Int { try context.input(as: Int.self) }
}
