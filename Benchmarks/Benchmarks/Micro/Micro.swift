import Benchmark
import CPetiole
import CYardsticks
import DispatchLoops
import Foundation

/// Small parts by themselves: instructions where the machine counts them, and time.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.instructions, .wallClock],
        scalingFactor: .kilo,
        maxDuration: .seconds(2))

    Benchmark("Checksum/A record of 100 bytes") { benchmark in
        let record = [UInt8](repeating: 0x5a, count: 100)
        for _ in benchmark.scaledIterations {
            blackHole(petiole_crc32c(0, record, record.count))
        }
    }

    Benchmark("Ring/A ticket pushed and popped on one thread") { benchmark in
        blackHole(ringPushAndPop(count: benchmark.scaledIterations.count))
    }

    storeBenchmarks()

    // What LMDB itself costs a record, for comparison with what the log adds.
    Benchmark("LMDB/A record of 100 bytes, appended, never synced") { benchmark in
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer {
            // A folder that stays behind lies among the temporary files.
            try? FileManager.default.removeItem(at: folder)
        }
        var log: OpaquePointer?
        guard unsynced_log_open(folder.path, &log) == 0, let log else {
            return benchmark.error("cannot make a store at \(folder.path)")
        }
        defer { unsynced_log_close(log) }
        benchmark.startMeasurement()
        let code = unsynced_log_append(log, benchmark.scaledIterations.count, 100)
        benchmark.stopMeasurement()
        if code != 0 { benchmark.error("LMDB returned \(code)") }
    }
}
