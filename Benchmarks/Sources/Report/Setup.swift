import Foundation

/// What a family of rows is told: how much to measure, and where its files go.
struct Setup {
    /// Small counts: shows that all works; its figures are rough.
    var isQuick: Bool
    /// On a disk; removed when the program ends.
    var folder: URL
    /// The tool for release, as `make build` leaves it.
    var tool: URL

    /// `full` jobs, samples or rounds, or `quick` of them.
    func count(_ full: Int, quick: Int) -> Int { isQuick ? quick : full }

    /// How often yardstick and ours are measured in turn; the best of each is reported, since what else
    /// the machine does only ever slows down.
    let rounds = 3

    /// How often in succession each is measured in its turn where gigabytes are written. What memory a virtual machine has
    /// not used for some seconds, its host hands out anew at the first touch, which takes longer than the copy into it; the
    /// second of two runs meets the memory that the first one left, whoever came before.
    let successive = 2

    /// Lends a path at which nothing exists, and removes what is there afterwards. Waits for the disk
    /// to have written what came before, so that it does not slow down what comes now.
    func withPath<Value>(_ name: String, _ body: (String) throws -> Value) throws -> Value {
        let path = folder.appending(path: "\(name)-\(UUID().uuidString)").path
        defer { remove(path) }
        sync()
        return try body(path)
    }

    /// The same for what waits.
    func withPath<Value>(
        _ name: String, _ body: (String) async throws -> Value
    ) async throws -> Value {
        let path = folder.appending(path: "\(name)-\(UUID().uuidString)").path
        defer { remove(path) }
        sync()
        return try await body(path)
    }

    private func remove(_ path: String) {
        // What cannot be removed now goes with the folder, whose removal reports its error.
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// A family of rows that is measured together, on a name by which `--only` picks it.
struct Family: Sendable {
    var name: String
    var measure: @Sendable (Setup) async throws -> [Row]

    static let all: [Family] = [
        .endToEnd, .codable, .bulkEnqueue, .enqueueLatency, .startLatency, .backlog, .inPlace,
        .isolation, .limits, .uniqueness, .operations, .workflows, .schedules, .idle,
        .ring, .tool,
    ]
}
