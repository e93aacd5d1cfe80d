import Benchmark
import Foundation
import Petiole

/// Codec and blocks as the public API reaches them, in a store that is never synced.
@Sendable func storeBenchmarks() {
    Benchmark("Enqueue/A struct of five fields, encoded into a block, compact") { benchmark in
        try await withStore { try await enqueueAll(Thumbnail.self, $0, benchmark) }
    }

    Benchmark("Enqueue/A struct of five fields, encoded into a block, JSON") { benchmark in
        try await withStore { try await enqueueAll(JSONThumbnail.self, $0, benchmark) }
    }

    Benchmark("Enqueue/100 raw bytes, written into a block") { benchmark in
        try await withStore { store in
            let payload = [UInt8](repeating: 0x5a, count: 100)
            benchmark.startMeasurement()
            try await store.enqueue(
                Bytes.self, count: benchmark.scaledIterations.count
            ) { _, bytes in bytes.append(contentsOf: payload) }
            benchmark.stopMeasurement()
        }
    }

    Benchmark("Enqueue/100 raw bytes, handed over") { benchmark in
        try await withStore { store in
            let payload = [UInt8](repeating: 0x5a, count: 100)
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations {
                try store.enqueue(Bytes.self, payload: payload, durability: .buffered)
            }
            benchmark.stopMeasurement()
            try await store.flush()
        }
    }

    Benchmark("Run/A struct of five fields, decoded, its result encoded, compact") { benchmark in
        try await withStore { try await runAll(Thumbnail.self, $0, benchmark) }
    }

    Benchmark("Run/A struct of five fields, decoded, its result encoded, JSON") { benchmark in
        try await withStore { try await runAll(JSONThumbnail.self, $0, benchmark) }
    }

    Benchmark("Run/100 raw bytes") { benchmark in
        try await withStore { store in
            let payload = [UInt8](repeating: 0x5a, count: 100)
            try await store.enqueue(
                Bytes.self, count: benchmark.scaledIterations.count
            ) { _, bytes in bytes.append(contentsOf: payload) }
            let runner = try JobRunner(store, jobs: [Bytes.self])
            benchmark.startMeasurement()
            try await runner.run {}
            benchmark.stopMeasurement()
        }
    }
}

private func enqueueAll<J: Picture>(
    _ type: J.Type, _ store: JobStore, _ benchmark: Benchmark
) async throws {
    let jobs = (0..<benchmark.scaledIterations.count).map { J(number: $0) }
    benchmark.startMeasurement()
    try await store.enqueue(contentsOf: jobs)
    benchmark.stopMeasurement()
}

private func runAll<J: Picture>(
    _ type: J.Type, _ store: JobStore, _ benchmark: Benchmark
) async throws {
    let jobs = (0..<benchmark.scaledIterations.count).map { J(number: $0) }
    try await store.enqueue(contentsOf: jobs)
    let runner = try JobRunner(store, jobs: [J.self])
    benchmark.startMeasurement()
    try await runner.run {}
    benchmark.stopMeasurement()
}

/// Lends a fresh store, and removes it.
private func withStore(_ body: (JobStore) async throws -> Void) async throws {
    let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    defer {
        // A folder that stays behind lies among the temporary files.
        try? FileManager.default.removeItem(atPath: path)
    }
    var options = StoreOptions()
    options.durability = .scratch
    let store = try JobStore(at: path, options: options)
    defer { store.close() }
    try await body(store)
}

private enum Bytes: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: UInt64(payload.byteCount))
    }
}

private protocol Picture: Job where Output == Int {
    init(number: Int)
}

private struct Thumbnail: Picture {
    var number: Int
    var path = "/srv/photos/2024/summer/img-0042.jpeg"
    var width = 1_280
    var quality = 0.85
    var isProgressive = true

    init(number: Int) { self.number = number }

    func run(_ context: JobContext) throws -> Int { number }
}

private struct JSONThumbnail: Picture {
    static let codec = PayloadCodec.json
    var number: Int
    var path = "/srv/photos/2024/summer/img-0042.jpeg"
    var width = 1_280
    var quality = 0.85
    var isProgressive = true

    init(number: Int) { self.number = number }

    func run(_ context: JobContext) throws -> Int { number }
}
