import Foundation
import Petiole
import Testing

@Suite("Examples of the documents") struct ExamplesTests {
    private static let top = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    @Test(
        "each example of a page stands, paragraph by paragraph, in a source that the tests run",
        arguments: [
            ("README.md", "Examples.swift"),
            ("Sources/Petiole/Petiole.docc/GettingStarted.md", "Examples.swift"),
            (
                "Sources/Petiole/Petiole.docc/JobOptions.md",
                "OptionExamples.swift HookExamples.swift ../../CrashChild/Example.swift"
            ),
            (
                "Sources/PetioleTesting/PetioleTesting.docc/Testing.md",
                "../../PetioleTestingTests/TestingExamples.swift"
            ),
            ("Sources/Petiole/Petiole.docc/Operations.md", "OperationExamples.swift"),
            ("Sources/Petiole/Petiole.docc/Workflows.md", "WorkflowExamples.swift"),
        ])
    func identical(page: String, sources: String) throws {
        let text = try String(contentsOf: Self.top.appending(path: page), encoding: .utf8)
        let texts = try sources.split(separator: " ").map { source in
            try String(
                contentsOf: URL(filePath: #filePath).deletingLastPathComponent()
                    .appending(path: String(source)), encoding: .utf8)
        }
        let compiled = Examples.lines(of: texts.joined(separator: "\n"))
        let shown = Examples.swiftBlocks(of: text).flatMap(Examples.paragraphs)
        #expect(shown.count > 1)
        for paragraph in shown {
            #expect(
                Examples.stands(paragraph, in: compiled),
                "\(page): no test compiles this:\n\(paragraph)")
        }
    }

    @Test("paragraphs are compared without the indentation they share, and with all else")
    func paragraphs() {
        let page = """
            text
            ```swift
            if one > 0 {
                print(one)
            }

            let two = 2
            ```
            ```
            not Swift
            ```
            """
        let shown = Examples.swiftBlocks(of: page).flatMap(Examples.paragraphs)
        #expect(shown == ["if one > 0 {\n    print(one)\n}", "let two = 2"])
        let source = Examples.lines(of: "{\n    if one > 0 {\n        print(one)\n    }\n}")
        #expect(Examples.stands(shown[0], in: source))
        #expect(!Examples.stands(shown[1], in: source))
        #expect(!Examples.stands("if one > 0 {\nprint(one)", in: source))
        #expect(!Examples.stands("one > 0 {", in: source))
    }

    @Test("the first program runs, and so does the store with options of its own")
    func firstProgram() async {
        await #expect(processExitsWith: .success) {
            let folder = try Folder()
            try #require(FileManager.default.changeCurrentDirectoryPath(folder.path))
            try await Examples.firstProgram()
            let store = try JobStore(at: "words.petiole")
            #expect(try store.counts().succeeded == 1)
            #expect(try !Examples.retention().isScratch)
            try folder.remove()
        }
    }

    @Test("jobs of each kind give what the page says")
    func kinds() async throws {
        try await withStore { store in
            let runner = try JobRunner(
                store, jobs: [CountWords.self, CountPages.self, Checksum.self, ResizeImage.self])
            try await runner.run {
                try await Examples.options(store)
                let pages = try await store.enqueue(CountPages(pages: ["a b", "c", "d e f"]))
                #expect(try await pages.result == 6)
                let sum = try await store.enqueue(Checksum.self, payload: [1, 2, 254])
                #expect(try await sum.result == [1, 1, 0, 0, 0, 0, 0, 0])
            }
            #expect(try store.counts(queue: "images").succeeded == 1)
        }
    }

    @Test("closures run by name, with a value and with JSON text")
    func closures() async throws {
        try await withStore { store in
            try await Examples.closures(store)
            #expect(try store.details(of: JobID(rawValue: 2)).resultJSON() == "8")
        }
    }

    @Test("many are accepted together, and what was buffered is there after a flush")
    func many() async throws {
        try await withStore { store in
            #expect(try await Examples.many(store).count == 100_000)
            try await Examples.buffered(store)
            #expect(try store.counts().ready == 101_000)
        }
    }

    @Test("a failure, a cancel and a runner that stands by are as the page says")
    func ends() async throws {
        try await withStore { store in
            let failing = try await store.enqueue(Failing())
            let runner = try JobRunner(store, jobs: [Failing.self])
            let attempts = try await runner.run { try await Examples.failure(store, failing) }
            #expect(attempts.map(\.failure.message) == ["no paper"])
            let job = try await store.enqueue(CountWords(text: "never"))
            try await Examples.cancelling(store, job)
            #expect(try Examples.looking(store).cancelled == 1)
            #expect(try Examples.serving(store).options.gracePeriod == .seconds(10))
        }
    }

    @Test("jobs with options do what the page says")
    func options() async throws {
        try await withStore { store in
            let report = try await OptionExamples.delayed(store)
            guard case .waiting = try report.state else {
                Issue.record("it does not wait")
                return
            }
            try await OptionExamples.queued(store)
            try await OptionExamples.withoutResult(store)
            let last = try await OptionExamples.debounced(store)
            guard case .waiting = try last.state else {
                Issue.record("it does not wait")
                return
            }
            #expect(try store.counts().cancelled == 1)
            try await #expect(OptionExamples.tagged(store, "00-1-2-01").cancelled == 1)
            let first = try await store.enqueue(Reindex(tenant: "acme"))
            try await #expect(store.enqueue(Reindex(tenant: "acme")).id == first.id)
            var polls: [JobHandle<Int>] = []
            for tries in 0...3 { polls.append(try await store.enqueue(Poll(tries: tries))) }
            let scan = try await store.enqueue(Scan(rows: 1_000))
            OptionExamples.progress(store, scan)
            let fetch = try await store.enqueue(Fetch())
            let lost = try await store.enqueue(Upload(file: ""))
            let small = try await store.enqueue(Thumbnails(page: 9))
            let large = try await store.enqueue(Thumbnails(page: 100_000))
            for line in 1...3 {
                try await store.enqueue(ImportLine(line: line, amount: line * 500))
            }
            for job in [report.id, last.id] { try await store.cancel(job) }
            var running = JobRunner.Options()
            running.queues = ["reports"]
            let jobs: [any JobType.Type] = [
                SendReport.self, Reindex.self, Poll.self, Scan.self,
                Fetch.self, Upload.self, ImportLine.self, Thumbnails.self,
            ]
            try await JobRunner(store, jobs: jobs, options: running).run {}
            #expect(try OptionExamples.sums(store) == 3_000)
            try await #expect(polls[1].result == 2)
            let counts = try store.counts()
            #expect(counts.discarded == 1 && counts.deadLetters == 3)
            try await #expect(small.result.count == 9)
            await #expect(throws: JobError.self) { try await large.result }
            try OptionExamples.failures(store)
            await #expect(throws: JobError.self) { try await fetch.result }
            guard case .ended(let outcome) = try lost.state, let failure = outcome.failure else {
                Issue.record("it has not failed")
                return
            }
            try await #expect(OperationExamples.requeueing(store, failure) == 1)
            try await OptionExamples.bounded(store)
            #expect(try store.counts(queue: "images").ready == 1)
        }
    }

    @Test("jobs with limits, an order, and that run at most once do what the page says")
    func limits() async throws {
        try await withStore { store in
            let calls = try await store.enqueue(
                contentsOf: (0..<6).map { Call(host: "host-\($0 % 2)") })
            let applied = try await store.enqueue(
                contentsOf: (0..<20).map { Apply(account: "\($0 % 3)", amount: $0) })
            let payment = try await store.enqueue(Pay(invoice: "2026-11"))
            try await #expect(OptionExamples.limits(store) == 2)
            try await store.setLimits(nil, ofJob: "Call")
            try await store.removeLimits(ofQueue: "default")
            try await JobRunner(
                store, jobs: [Call.self, Apply.self, Pay.self], options: OptionExamples.queues()
            ).run {}
            for job in calls { _ = try await job.result }
            try await #expect(applied[19].result == 19)
            try await #expect(payment.result == "2026-11")
        }
    }

    @Test("a job that is isolated costs its attempt and not the program, as the page says")
    func isolation() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        try directory.open().close()
        let program = try Child(["example", directory.store])
        try await #expect(program.line() == "3")
        try await #expect(program.line() == "ChildProcessEnded")
        try await #expect(program.end() == .exit(0))
    }

    private func withStore(_ body: (JobStore) async throws -> Void) async throws {
        let folder = try Folder()
        var options = StoreOptions()
        options.durability = .scratch
        let store = try JobStore(at: "\(folder.path)/examples.petiole", options: options)
        try await body(store)
        store.close()
        try folder.remove()
    }
}

/// A new directory.
private struct Folder {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory
            .appending(path: "petiole-examples-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    func remove() throws { try FileManager.default.removeItem(atPath: path) }
}

extension Examples {
    /// What stands in fences that are marked as Swift.
    static func swiftBlocks(of page: String) -> [String] {
        var blocks: [String] = []
        var block: [Substring]?
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "```swift" {
                block = []
            } else if line == "```", let lines = block {
                blocks.append(lines.joined(separator: "\n"))
                block = nil
            } else {
                block?.append(line)
            }
        }
        return blocks
    }

    /// Runs of lines that no empty line parts.
    static func paragraphs(of block: String) -> [String] {
        lines(of: block).split { $0.isEmpty }.map { $0.joined(separator: "\n") }
    }

    static func lines(of text: String) -> [Substring] {
        text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Whether a paragraph's lines follow each other in a source, all of them further in by the same.
    static func stands(_ paragraph: String, in source: [Substring]) -> Bool {
        let wanted = lines(of: paragraph)
        guard let first = wanted.first, source.count >= wanted.count else { return false }
        return source.indices.dropLast(wanted.count - 1).contains { start in
            guard source[start].hasSuffix(first) else { return false }
            let indent = source[start].dropLast(first.count)
            guard indent.allSatisfy({ $0 == " " }) else { return false }
            return zip(source[start...], wanted).allSatisfy { $0 == indent + $1 }
        }
    }
}
