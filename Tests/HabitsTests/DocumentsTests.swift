import Foundation
import Testing

@Suite("Habits of the documents") struct DocumentsTests {
    static let guaranteesPath = "Sources/Petiole/Petiole.docc/Guarantees.md"

    /// The pages of all catalogues, and the README.
    static func pages() throws -> [Tree.SourceFile] {
        let readme = Tree.exists("README.md") ? [try Tree.file("README.md")] : []
        return readme + (try Tree.files(under: "Sources", ending: ".md"))
    }

    @Test("no page has a dead relative link")
    func relativeLinks() throws {
        for page in try Self.pages() {
            let folder = (page.path as NSString).deletingLastPathComponent
            for link in Documents.relativeLinks(in: page.lines) {
                let path = folder.isEmpty ? link.target : "\(folder)/\(link.target)"
                #expect(
                    Tree.exists(path), "\(page.place(link.index)): dead link to \(link.target)")
            }
        }
    }

    @Test("no page refers to a page, a path or a symbol that does not exist")
    func references() throws {
        let pages = try Self.pages()
        let titles = Set(
            pages.map {
                (($0.path as NSString).lastPathComponent as NSString).deletingPathExtension
            }
        )
        let names = Documents.declaredNames(in: try Tree.files(under: "Sources", ending: ".swift"))
        for page in pages {
            for link in Documents.pageLinks(in: page.lines) {
                let title = (link.target as NSString).lastPathComponent
                #expect(
                    titles.contains(title) || names.contains(title),
                    "\(page.place(link.index)): no page \(link.target)")
            }
            for path in Documents.paths(in: page.lines) {
                #expect(
                    Tree.exists(path.target), "\(page.place(path.index)): no file \(path.target)")
            }
            for symbol in Documents.symbols(in: page.lines) {
                let undeclared = Documents.undeclaredPart(of: symbol.target, among: names)
                #expect(
                    undeclared == nil,
                    "\(page.place(symbol.index)): nothing declares \(undeclared ?? "")")
            }
        }
    }

    @Test(
        "every line of the guarantees names tests that exist",
        .enabled(if: Tree.exists(guaranteesPath)))
    func guarantees() throws {
        let page = try Tree.file(Self.guaranteesPath)
        let names = Documents.displayNames(in: try Tree.files(under: "Tests", ending: ".swift"))
        let rows = Documents.guarantees(in: page.lines)
        #expect(!rows.isEmpty, "\(page.place(0)): no table whose last column names tests")
        for row in rows {
            #expect(!row.testNames.isEmpty, "\(page.place(row.index)): names no test in “quotes”")
            for name in row.testNames {
                #expect(
                    names.contains(name), "\(page.place(row.index)): no test is called “\(name)”")
            }
        }
    }

    @Test("links, symbols and rows are read as a page writes them, fenced code is not")
    func reading() {
        let page = """
            See [the ring](Ring.md#parking), [LMDB](http://www.lmdb.tech), <doc:Store>
            and ``JobStore/enqueue(_:)``, kept in `Sources/Petiole/JobStore.swift:12`.
            ```
            [not a link](Gone.md) ``Gone``
            ```
            | promise | tests |
            |---|---|
            | durable | “an accepted job survives” and “a cut loses nothing” |
            | ordered | |

            | word | meaning |
            |---|---|
            | job | a request |
            """.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(Documents.relativeLinks(in: page).map(\.target) == ["Ring.md"])
        #expect(Documents.pageLinks(in: page).map(\.target) == ["Store"])
        #expect(Documents.symbols(in: page).map(\.target) == ["JobStore/enqueue(_:)"])
        #expect(Documents.paths(in: page).map(\.target) == ["Sources/Petiole/JobStore.swift"])
        let rows = Documents.guarantees(in: page)
        #expect(rows.map(\.index) == [7, 8])
        #expect(rows.first?.testNames == ["an accepted job survives", "a cut loses nothing"])
    }

    @Test("a symbol is dead when one part of its path is declared nowhere")
    func undeclared() {
        let file = Tree.SourceFile(
            path: "Sources/Petiole/JobStore.swift",
            lines: ["public final class JobStore {", "    public func enqueue(_ job: Int) {}"])
        let names = Documents.declaredNames(in: [file])
        #expect(Documents.undeclaredPart(of: "Petiole", among: names) == nil)
        #expect(Documents.undeclaredPart(of: "JobStore/enqueue(_:)", among: names) == nil)
        #expect(Documents.undeclaredPart(of: "JobStore/flush()", among: names) == "flush")
    }

    @Test("display names are found whether or not the line is broken before them")
    func displayNames() {
        let file = Tree.SourceFile(
            path: "Tests/A.swift",
            lines: ["@Test(\"one\")", "@Test(", "    \"says \\\"two\\\"\", arguments: 1...2)"])
        #expect(Documents.displayNames(in: [file]) == ["one", "says \"two\""])
    }
}
