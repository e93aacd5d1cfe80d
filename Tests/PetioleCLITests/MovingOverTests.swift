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

    /// What our line prints where the other program's differs, or is not asked.
    private static let expected: [String: String] = [:]

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

    /// What a line prints, its lines in their order among each other: commands end as they do.
    private static func lines(of line: String, _ tool: Tool) throws -> [String] {
        let bin = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path
        return try tool.start(shell: "PATH=\(bin):$PATH; \(line)").end().lines.sorted()
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
}
