import Foundation
import Testing

@Suite("Moving over from other programs", .ownThreads, .timeLimit(.minutes(15)))
struct MovingOverTests {
    /// A line of a table: what is typed elsewhere, and here.
    struct Row: CustomStringConvertible, Sendable {
        let other: String
        let own: String
        var description: String { own }
    }

    private static let article = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources/Petiole/Petiole.docc/MovingOver.md")

    /// The rows of the table below a heading.
    private static func rows(of heading: String) throws -> [Row] {
        let text = try String(contentsOf: article, encoding: .utf8)
        let section = try #require(text.components(separatedBy: "\n## \(heading)\n").last)
        let lines = section.components(separatedBy: "\n## ")[0].split(separator: "\n")
        return lines.filter { $0.hasPrefix("| `") }.map { line in
            let codes = line.replacing("\\|", with: "\u{1}").split(separator: "`").map {
                String($0).replacing("\u{1}", with: "|")
            }
            return Row(other: codes[1], own: codes[3])
        }
    }

    /// A folder with what the article says is there.
    private static func folder() throws -> Tool {
        let tool = Tool()
        for (name, text) in [
            ("a.txt", "one\n"), ("b.txt", "two\n2\n"), ("c d.txt", "three\n3\n3\n"),
            ("list", "a.txt\nb.txt\n"), ("list0", "a.txt\0c d.txt\0"), ("numbers", "1\n2\n3\n4\n"),
            ("t.csv", "name,size\nx,1\ny,2\n"),
        ] {
            try tool.write(text, to: name)
        }
        return tool
    }

    /// What a line prints, sorted, since commands end as they do, unless it says in which order that is.
    private static func lines(of line: String, _ tool: Tool) throws -> [String] {
        let bin = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path
        let end = try tool.start(shell: "PATH=\(bin):$PATH; \(line)").end()
        return line.contains(" -j1 ") || line.contains(" -k ") ? end.lines : end.lines.sorted()
    }

    @Test(
        "every line of the article does what the one beside it does",
        arguments: ["xargs", "GNU parallel"])
    func runs(heading: String) throws {
        let rows = try Self.rows(of: heading)
        #expect(rows.count > 5)
        let program = heading == "xargs" ? "xargs" : "parallel"
        let isThere = try Self.lines(of: "\(program) --version", Self.folder()).contains {
            $0.hasPrefix("GNU parallel") || $0.hasPrefix("xargs (GNU")
        }
        for row in rows {
            let own = try Self.lines(of: row.own, Self.folder())
            #expect(!own.isEmpty, "\(row.own)")
            guard isThere else { continue }
            let folder = try Self.folder()
            let other = try Self.lines(of: row.other, folder)
            #expect(own == other, "\(row.own)")
        }
    }

    /// What each line about a queue prints: a part of it, and the status.
    private static let queueLines: [String: [(line: String, prints: String)]] = [
        "Task spooler": [
            ("petiole add -- echo one", "1"),
            ("petiole wait 1", "succeeded"),
            ("petiole log 1", "one"),
            ("petiole show 1", "echo one"),
            ("petiole add -- sleep 1000", "2"),
            ("petiole add --after 2 -- echo two", "3"),
            ("petiole jobs", "sleep 1000"),
            ("petiole edit 3 --priority 0", "3 edited"),
            ("petiole cancel 3", "cancelled"),
            ("petiole cancel 2", "2 stopping"),
            ("petiole limit commands --concurrency 2", "2 at once"),
            ("petiole follow $(petiole add -- echo three)", "three"),
            ("petiole clean", "jobs deleted"),
        ],
        "pueue": [
            ("petiole add -- echo one", "1"),
            ("petiole add --after 1 -- echo two", "2"),
            ("petiole add --in 2h -- echo late", "3"),
            ("petiole add --queue gpu -- echo three", "4"),
            ("petiole add --priority 0 -- echo four", "5"),
            ("petiole wait 1 2", "succeeded"),
            ("petiole status", "commands"),
            ("petiole jobs --json", #""state":"succeeded""#),
            ("petiole log 1", "one"),
            ("petiole follow 1", "one"),
            ("petiole pause gpu", "gpu"),
            ("petiole resume gpu", "gpu"),
            ("petiole limit gpu --concurrency 2", "2 at once"),
            ("petiole edit 3 --due now", "3"),
            ("petiole pause 4", "held"),
            ("petiole resume 4", "resumed"),
            ("petiole requeue 1", "1"),
            ("petiole cancel 4", "cancelled"),
            ("petiole clean", "jobs deleted"),
        ],
    ]

    @Test(
        "every line of the article about a queue does what it says",
        arguments: ["Task spooler", "pueue"])
    func queues(heading: String) throws {
        let rows = try Self.rows(of: heading)
        let expected = try #require(Self.queueLines[heading])
        #expect(rows.map { $0.own } == expected.map { $0.line })
        let tool = try Self.folder()
        var worker: Tool.Running?
        for (line, prints) in expected {
            let bin = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path
            let end = try tool.start(shell: "PATH=\(bin):$PATH; \(line)").end()
            #expect(end.status == 0, "\(line): \(end.errorOutput)")
            #expect((end.output + end.errorOutput).contains(prints), "\(line): \(end.output)")
            // The first line makes the store.
            if worker == nil { worker = try tool.start(["worker", "-j1"]) }
        }
        worker?.send(SIGTERM)
        _ = worker?.end()
    }
}
