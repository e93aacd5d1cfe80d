import ArgumentParser
import Foundation
import Petiole

/// Measures Petiole beside its yardsticks in one run and prints one table.
@main struct PetioleBench: AsyncParsableCommand {
    static func main() async {
        Petiole.serveChild(jobs: [IsolatedNoop.self, IsolatedOnce.self])
        await main(nil)
    }

    static let configuration = CommandConfiguration(
        commandName: "petiole-bench",
        abstract: "Measures Petiole beside its yardsticks and prints one table.",
        subcommands: [Child.self])

    @Flag(help: "Small counts: shows that all works; the figures are rough.")
    var quick = false

    @Option(help: "Measure only this family; may be given more than once.")
    var only: [String] = []

    @Option(help: "Where files go; on a disk, never in memory. Removed at the end.")
    var dir: String?

    @Option(help: "The tool to measure.")
    var tool: String?

    /// The top level of the project, as this file was compiled.
    private static let top = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    func validate() throws {
        let names = Family.all.map(\.name)
        for name in only where !names.contains(name) {
            throw ValidationError(
                "no family \"\(name)\"; there are: \(names.joined(separator: ", "))")
        }
    }

    func run() async throws {
        let parent = dir.map { URL(filePath: $0) } ?? Self.top.appending(path: "Benchmarks/.build")
        let folder = parent.appending(
            path: "petiole-bench-\(ProcessInfo.processInfo.processIdentifier)"
        )
        .absoluteURL.standardizedFileURL
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let outcome = await Result { try await measure(in: folder) }
        try FileManager.default.removeItem(at: folder)
        let rows = try outcome.get()
        for (name, value) in Machine(folder: parent).lines { print("\(name): \(value)") }
        if quick { print("counts: small (--quick); the figures are rough") }
        print("\n" + TextTable.render(rows))
    }

    private func measure(in folder: URL) async throws -> [Row] {
        guard !Machine.isInMemory(folder.path) else {
            throw ValidationError(
                "\(folder.path) lies in memory; name a folder on a disk with --dir")
        }
        let setup = Setup(
            isQuick: quick, folder: folder,
            tool: tool.map { URL(filePath: $0) }
                ?? Self.top.appending(path: ".build/release/petiole"))
        var rows: [Row] = []
        for family in Family.all where only.isEmpty || only.contains(family.name) {
            FileHandle.standardError.write(Data("measuring \(family.name)\n".utf8))
            rows += try await family.measure(setup)
        }
        return rows
    }
}

extension Result where Failure == any Error {
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
