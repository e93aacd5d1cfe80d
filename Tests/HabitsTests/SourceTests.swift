import Foundation
import Testing

@Suite("Habits of the sources") struct SourceTests {
    @Test("the cores import no Foundation", arguments: ["PetioleStorage", "PetioleDispatch"])
    func coresImportNoFoundation(target: String) throws {
        let foundation = /^\s*(@\w+(\(\w+\))?\s+)*(\w+\s+)?import\s+(\w+\s+)?Foundation\w*/
        for file in try Tree.files(under: "Sources/\(target)", ending: ".swift") {
            for (index, line) in file.lines.enumerated() where line.contains(foundation) {
                Issue.record("\(file.place(index)): a core imports Foundation")
            }
        }
    }

    @Test("each discarded error, unchecked promise and atomic ordering has its reason beside it")
    func reasons() throws {
        for file in try Tree.files(under: "Sources", ending: ".swift") {
            for index in Reasons.missing(in: file.lines) {
                let line = file.lines[index].trimmingCharacters(in: .whitespaces)
                Issue.record("\(file.place(index)): no reason beside `\(line)`")
            }
        }
    }

    /// Otherwise a process that another thread starts meanwhile inherits it: pipes then have readers that nobody knows, and no
    /// end.
    @Test("what is opened is closed when another program is executed")
    func closeOnExecute() throws {
        let careless =
            /\bfopen\(.*"[rwa]\+?b?"\)|\bopen\(.*\bO_(RDONLY|WRONLY|RDWR)\b|[^_.\w]pipe\(&|[^_.\w]dup\(/
        let files = try ["Sources", "Tests"].flatMap { folder in
            try Tree.files(under: folder, ending: ".swift", ".c")
        }
        for file in files {
            for (index, line) in file.lines.enumerated()
            where line.contains(careless) && !line.contains("O_CLOEXEC")
                && !line.contains("careless")
            {
                Issue.record(
                    "\(file.place(index)): opened without O_CLOEXEC, or the mode `e` of fopen")
            }
        }
    }

    @Test("no source file is longer than 600 lines")
    func lengths() throws {
        for file in try Tree.files(under: "Sources", ending: ".swift", ".c", ".h") {
            // The last piece is what follows the final newline: nothing.
            let count = file.lines.count - 1
            #expect(count <= 600, "\(file.place(600)): \(count) lines; split it by idea")
        }
    }

    /// Petiole, and the products over it.
    private static let products = ["Sources/Petiole", "Sources/PetioleTesting"]

    @Test("only Petiole and the products over it have public declarations")
    func publicOnlyInPetiole() throws {
        for file in try Tree.files(under: "Sources", ending: ".swift")
        where !Self.products.contains(where: { file.path.hasPrefix($0 + "/") }) {
            for index in PublicDeclarations.indices(in: file.lines) {
                Issue.record("\(file.place(index)): public outside of a product; use package")
            }
        }
    }

    @Test("every public declaration of a product is documented", arguments: products)
    func publicIsDocumented(product: String) throws {
        for file in try Tree.files(under: product, ending: ".swift") {
            for index in PublicDeclarations.undocumented(in: file.lines) {
                Issue.record("\(file.place(index)): public without a doc comment above it")
            }
        }
    }
}
