import Foundation

/// What the pages refer to, and what there is to refer to.
enum Documents {
    /// A reference and the line it stands on, counted from 0.
    struct Reference: Equatable {
        var index: Int
        var target: String
    }

    /// The lines of a page outside fenced code, with their indices.
    static func prose(_ lines: [Substring]) -> [(index: Int, line: Substring)] {
        var isFenced = false
        return lines.enumerated().compactMap { index, line in
            if line.drop(while: { $0 == " " }).hasPrefix("```") {
                isFenced.toggle()
                return nil
            }
            return isFenced ? nil : (index, line)
        }
    }

    /// Targets of `[text](target)` that lie in the tree: neither a scheme nor a place on the page.
    static func relativeLinks(in lines: [Substring]) -> [Reference] {
        let link = /\]\(([^)\s#]+)(#[^)]*)?\)/
        return prose(lines).flatMap { index, line in
            line.matches(of: link).map { Reference(index: index, target: String($0.1)) }
        }.filter { !$0.target.contains(":") }
    }

    /// Names of pages in `<doc:Page>` and `(doc:Page)`, without the place on the page.
    static func pageLinks(in lines: [Substring]) -> [Reference] {
        let link = /[<(]doc:([^>)#]+)/
        return prose(lines).flatMap { index, line in
            line.matches(of: link).map { Reference(index: index, target: String($0.1)) }
        }
    }

    /// What stands in double backticks: `Type`, `Type/member` or `Type/method(label:)`.
    static func symbols(in lines: [Substring]) -> [Reference] {
        let symbol = /(?:^|[^`])``([^`]+)``(?!`)/
        return prose(lines).flatMap { index, line in
            line.matches(of: symbol).map { Reference(index: index, target: String($0.1)) }
        }
    }

    /// Paths in single backticks that begin in a folder of the top level; a `*` ends the path.
    static func paths(in lines: [Substring]) -> [Reference] {
        let path = /(?:^|[^`])`((?:Sources|Tests|Benchmarks)\/[^`*:\s]*)/
        return prose(lines).flatMap { index, line in
            line.matches(of: path).map { Reference(index: index, target: String($0.1)) }
        }
    }

    /// All names that are declared in `files`, and those of the targets.
    static func declaredNames(in files: [Tree.SourceFile]) -> Set<String> {
        let declaration =
            /\b(?:struct|class|enum|protocol|actor|typealias|associatedtype|func|var|let|case)\s+`?(\w+)/
        var names: Set<String> = ["init", "subscript"]
        for file in files {
            for line in file.lines {
                for match in line.matches(of: declaration) { names.insert(String(match.1)) }
            }
            if let target = file.path.split(separator: "/").dropFirst().first {
                names.insert(String(target))
            }
        }
        return names
    }

    /// The first part of a symbol's path that nobody declares; nil if all are declared.
    static func undeclaredPart(of symbol: String, among names: Set<String>) -> String? {
        symbol.split(separator: "/")
            .map { part in String(part.prefix { $0 != "(" && $0 != "-" }) }
            .first { !names.contains($0) }
    }

    /// One row of a table whose header's last column speaks of tests: the names it quotes there.
    struct GuaranteeRow {
        var index: Int
        var testNames: [String]
    }

    static func guarantees(in lines: [Substring]) -> [GuaranteeRow] {
        var rows: [GuaranteeRow] = []
        var isAboutTests: Bool?
        for (index, line) in prose(lines) {
            guard line.hasPrefix("|") else {
                isAboutTests = nil
                continue
            }
            let last = line.split(separator: "|").last { $0.contains { $0 != " " } } ?? ""
            guard let isTestTable = isAboutTests else {
                isAboutTests = last.lowercased().contains("test")
                continue
            }
            if isTestTable && !line.allSatisfy({ "|-: ".contains($0) }) {
                let names = last.matches(of: /“([^”]+)”/).map { String($0.1) }
                rows.append(GuaranteeRow(index: index, testNames: names))
            }
        }
        return rows
    }

    /// The display names of all tests and suites.
    static func displayNames(in files: [Tree.SourceFile]) -> Set<String> {
        let display = /@(?:Test|Suite)\(\s*"((?:[^"\\]|\\.)*)"/
        var names: Set<String> = []
        for file in files {
            for match in file.lines.joined(separator: "\n").matches(of: display) {
                let name = match.1.replacing("\\\"", with: "\"")
                names.insert(String(name.replacing("\\\\", with: "\\")))
            }
        }
        return names
    }
}
