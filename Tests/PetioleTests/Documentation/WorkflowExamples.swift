import Foundation
import Petiole
import Synchronization

// The examples of Workflows.md: see `Examples.swift`.

enum WorkflowExamples {
    struct Render: Job {
        struct NoSuchPage: Error {}
        static let retryPolicy = RetryPolicy.never

        var page: Int

        func run(_ context: JobContext) throws -> String {
            if page == 13 { throw NoSuchPage() }
            return "page \(page)"
        }
    }

    struct Proofread: FollowingJob {
        func run(_ text: String, _ context: JobContext) -> String { text.capitalized }
    }

    struct Bind: CollectingJob {
        func run(_ pages: MemberResults<String>, _ context: JobContext) throws -> String {
            try pages.map { try $0.get() }.joined(separator: ", ")
        }
    }

    struct Salvage: CollectingJob {
        func run(_ pages: MemberResults<String>, _ context: JobContext) -> String {
            var texts: [String] = []
            for page in pages {
                switch page {
                case .success(let text): texts.append(text)
                case .failure: texts.append("a page is missing")
                }
            }
            return texts.joined(separator: ", ")
        }
    }

    /// Fails while its printer has no paper.
    struct Print: FollowingJob {
        struct NoPaper: Error, CustomStringConvertible { let description = "no paper" }
        static let retryPolicy = RetryPolicy(
            maxAttempts: 2, backoff: .constant(.milliseconds(1)))
        static let empty = Mutex<Set<String>>([])
        var printer = "any"
        func run(_ text: String, _ context: JobContext) throws -> Int {
            let isEmpty = Self.empty.withLock { $0.contains(printer) }
            if isEmpty { throw NoPaper() }
            return text.count
        }
    }

    struct Measure: Job {
        var words: [String]
        func run(_ context: JobContext) -> Int { words.reduce(0) { $0 + $1.count } }
    }

    struct Total: CollectingJob {
        static let retryPolicy = RetryPolicy.never
        func run(_ lengths: MemberResults<Int>, _ context: JobContext) throws -> Int {
            try lengths.reduce(0) { $0 + (try $1.get()) }
        }
    }

    struct Underline: FollowingJob {
        func run(_ length: Int, _ context: JobContext) -> String {
            String(repeating: "-", count: length)
        }
    }

    struct Words: FollowingJob {
        func run(_ text: String, _ context: JobContext) -> [String] {
            text.split(separator: " ").map { String($0) }
        }
    }

    struct Assemble: Job {
        func run(_ context: JobContext) throws -> [String] {
            let cover = try context.input(from: "cover", as: String.self)
            let index = try context.input(from: "index", as: [String].self)
            return [cover] + index
        }
    }

    struct Chapter: Job {
        var pages: Int

        func run(_ context: JobContext) throws -> String {
            let all = Group(count: pages) { Render(page: $0) }
            try context.giveWay(to: all.then(Bind()))
            return ""
        }
    }

    struct Publish: FollowingJob {
        func run(_ text: String, _ context: JobContext) throws -> Int {
            try context.enqueue(Workflow(Render(page: 1)).then(Print()), name: "leaflet")
            return text.count
        }
    }

    struct Tell: Job {
        var text: String

        func run(_ context: JobContext) throws -> String {
            guard let step = try context.failedStep else { return text }
            return "\(text): \(step.name) is \(step.outcome.kind)"
        }
    }

    static let types: [any JobType.Type] = [
        Render.self, Proofread.self, Bind.self, Salvage.self, Print.self, Measure.self,
        Total.self, Underline.self, Words.self, Assemble.self, Chapter.self, Publish.self,
        Tell.self, SendReport.self,
    ]

    static func chain(_ store: JobStore) async throws -> WorkflowHandle<Int> {
        let page = try await store.enqueue(chain: Render(page: 1), then: Proofread())
        print(try await page.result)

        let printed = Workflow(Render(page: 1))
            .then(Proofread())
            .then(Print())
            .then(independent: SendReport(month: "2026-10"))
        let handle = try await store.enqueue(printed, name: "printed")
        return handle
    }

    static func group(_ store: JobStore) async throws -> GroupHandle<String> {
        let pages = try await store.enqueue(Group(count: 10) { Render(page: $0) })
        for try await page in pages.results { print(try page.get()) }
        return pages
    }

    static func chord(_ store: JobStore) async throws -> String {
        let book = Group(count: 10) { Render(page: $0) }.then(Bind())
        let bound = try await store.enqueue(book, name: "book").result
        return bound
    }

    static func chunks(_ store: JobStore, _ words: [String]) async throws -> (Int, Int) {
        let each = Group(each: words) { Measure(words: [$0]) }.then(Total())
        let many = Group(chunks: words, of: 1_000) { Measure(words: Array($0)) }.then(Total())
        let sums = (
            try await store.enqueue(each).result, try await store.enqueue(many).result
        )
        return sums
    }

    static func nested(_ store: JobStore) async throws -> WorkflowHandle<Int> {
        let chapters = (1...3).map { chapter in
            Group(count: 4) { Render(page: chapter * 100 + $0) }.then(Bind())
        }
        let book = Group(chapters).then(Bind()).then(Print())
        let handle = try await store.enqueue(book, name: "book")
        return handle
    }

    static func graph(_ store: JobStore) async throws -> WorkflowHandle<NoResult> {
        var book = Graph()
        book.add("text", Render(page: 1))
        book.add("index", Words(), after: ["text"])
        book.add("cover", Render(page: 0))
        book.add("whole", Assemble(), after: ["cover", "index"])
        let handle = try await store.enqueue(book, name: "book")
        return handle
    }

    static func mapped(_ store: JobStore) async throws -> String {
        let length = InputMapping<String, Int>("length") { $0.count }
        let underlined = Workflow(Render(page: 1)).then(Underline(), mapping: length)

        var options = JobRunner.Options()
        options.inputMappings = [length.registered]
        let runner = try JobRunner(store, jobs: [Render.self, Underline.self], options: options)
        let line = try await runner.run { try await store.enqueue(underlined).result }
        return line
    }

    static func callbacks(_ store: JobStore, _ printer: String) async throws -> JobID {
        let watched = Workflow(Render(page: 1)).then(Print(printer: printer))
            .onSuccess(run: Tell(text: "printed"))
            .onFailure(run: Tell(text: "not printed"))
            .onEnd(run: Tell(text: "over"))
        let handle = try await store.enqueue(watched)
        return handle.id
    }

    static func rules(_ store: JobStore) async throws -> (String, JobID) {
        let all = Group(count: 20) { Render(page: $0) }.onFailure(.goOn).then(Salvage())
        let some = Group(count: 20) { Render(page: $0) }.onFailure(.stop(after: 3)).then(Salvage())
        let salvaged = try await store.enqueue(all).result
        let handle = try await store.enqueue(some)
        _ = try await handle.result
        return (salvaged, handle.id)
    }

    static func stalled(_ handle: WorkflowHandle<Int>) async throws -> [JobID] {
        var stuck: [JobID] = []
        do {
            print(try await handle.result)
        } catch JobError.failed(_, _, let failure, isDeadLetter: true) {
            print(failure.message)
            for step in try handle.summary.steps where step.state == .failed {
                stuck += step.ids.map { JobID(rawValue: $0.lowerBound) }
            }
        }
        return stuck
    }

    static func resumed(_ store: JobStore, _ handle: WorkflowHandle<Int>) async throws -> Int {
        try await store.requeue(handle.id)
        let length = try await handle.result
        return length
    }

    static func watching(_ handle: WorkflowHandle<Int>) throws -> WorkflowSummary {
        let summary = try handle.summary
        print("\(summary.progress.done) of \(summary.progress.total)")
        for step in summary.steps { print(step.name, step.state, step.ended, step.jobs) }
        return summary
    }

    static func cancelling(
        _ store: JobStore, _ handle: WorkflowHandle<Int>
    ) async throws -> CancelResult {
        let result = try await store.cancel(handle.id)
        return result
    }

    static func options(_ store: JobStore) async throws -> WorkflowHandle<Int> {
        let page = Workflow(Render(page: 1), name: "page", weight: 3)
            .then(Proofread(), options: EnqueueOptions(maxAttempts: 8))
            .then(Print(), options: EnqueueOptions(queue: "printers", priority: 1))
        let nightly = EnqueueOptions(
            queue: "nightly", priority: 7, metadata: JobMetadata(tags: ["book"]))
        let handle = try await store.enqueue(page, name: "nightly-page", options: nightly)
        return handle
    }

    // MARK: A file of lines

    /// Cuts a file at ends of lines into parts, and gives way to what is to be done with them.
    struct Split: Job {
        var source: String
        var folder: String
        var partBytes: Int

        func run(_ context: JobContext) throws -> Merged {
            var rest = try Data(contentsOf: URL(filePath: source), options: .mappedIfSafe)
            var parts: [String] = []
            while !rest.isEmpty {
                let end = rest.dropFirst(partBytes - 1).firstIndex(of: UInt8(ascii: "\n"))
                let part = rest[rest.startIndex...(end ?? rest.endIndex - 1)]
                let path = "\(folder)/part-\(parts.count)"
                try part.write(to: URL(filePath: path), options: .atomic)
                parts.append(path)
                rest = rest[part.endIndex...]
            }
            let merge = Merge(path: "\(folder)/merged")
            try context.giveWay(to: Group(each: parts) { Transform(path: $0) }.then(merge))
            return Merged(path: merge.path)
        }
    }

    /// Writes one part anew in capitals.
    struct Transform: Job {
        var path: String

        func run(_ context: JobContext) throws -> Merged {
            let text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
            let capitals = Data(text.uppercased().utf8)
            try capitals.write(to: URL(filePath: path + ".out"), options: .atomic)
            return Merged(path: path + ".out", counting: capitals)
        }
    }

    /// Puts the parts one behind the other, in their order.
    struct Merge: CollectingJob {
        var path: String

        func run(_ parts: MemberResults<Merged>, _ context: JobContext) throws -> Merged {
            var merged = Merged(path: path)
            // A second attempt begins with an empty file, as the first one did.
            try Data().write(to: URL(filePath: path))
            let file = try FileHandle(forWritingTo: URL(filePath: path))
            defer { file.closeFile() }
            for part in parts {
                let part = try part.get()
                try file.write(contentsOf: Data(contentsOf: URL(filePath: part.path)))
                merged.lines += part.lines
                merged.checksum &+= part.checksum
            }
            return merged
        }
    }

    /// Reads the merged file once more: it is what the parts said of themselves, and no line of the source is missing.
    struct Verify: FollowingJob {
        var source: String

        func run(_ merged: Merged, _ context: JobContext) throws -> Merged {
            let found = try Merged(reading: merged.path)
            let given = try Merged(reading: source)
            guard found == merged, found.lines == given.lines else {
                throw JobControl.deadLetter(
                    "\(given.lines) lines were given, \(merged.lines) merged, \(found.lines) found")
            }
            return merged
        }
    }

    /// A file, how many lines it has, and the sum of their hashes.
    struct Merged: Codable, Sendable, Equatable {
        var path: String
        var lines = 0
        var checksum: UInt64 = 0

        init(path: String, counting text: Data = Data()) {
            self.path = path
            for line in text.split(separator: UInt8(ascii: "\n")) {
                lines += 1
                checksum &+= line.reduce(14_695_981_039_346_656_037) {
                    ($0 ^ UInt64($1)) &* 1_099_511_628_211
                }
            }
        }

        init(reading path: String) throws {
            let text = try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe)
            self.init(path: path, counting: text)
        }
    }

    static func file(
        _ store: JobStore, _ source: String, _ folder: String
    ) async throws -> WorkflowHandle<Merged> {
        let capitals = Workflow(Split(source: source, folder: folder, partBytes: 4_096))
            .then(Verify(source: source))
        let once = EnqueueOptions(unique: Uniqueness(key: source))
        let handle = try await store.enqueue(capitals, name: "capitals", options: once)
        return handle
    }
}
