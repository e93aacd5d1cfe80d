import Petiole

struct Hello: Job {
    var name: String
    func run(_ context: JobContext) throws -> String { "hello \(name)" }
}
enum Noop: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: context.id.rawValue)
        result.append(littleEndian: UInt64(payload.byteCount))
    }
}

let path = CommandLine.arguments[1]
let total = Int(CommandLine.arguments[2])!
let batch = Int(CommandLine.arguments[3])!
let store = try JobStore(at: path)
let runner = try JobRunner(store, jobs: [Hello.self, Noop.self])
let clock = ContinuousClock()
let start = clock.now
try await runner.run {
    let handle = try await store.enqueue(Hello(name: "world"))
    print(try await handle.result, clock.now - start)
    let begun = clock.now
    let payload = [UInt8](repeating: 7, count: 100)
    await withTaskGroup(of: Void.self) { group in
        let share = total / batch / 4
        for _ in 0..<4 {
            group.addTask {
                for _ in 0..<share {
                    try! await store.enqueue(Noop.self, count: batch) { _, bytes in
                        bytes.append(contentsOf: payload)
                    }
                }
            }
        }
    }
    print("enqueued", clock.now - begun)
}
let seconds = (clock.now - start) / .seconds(1)
print("all", clock.now - start, Double(total) / seconds)
print(try store.counts())
store.close()
