import Foundation
import Petiole

/// What a runner costs that has nothing to do. The Swift runtime's Dispatch wakes up by itself about once a second
/// (it looks how many of its threads are blocked), so the same program without a runner stands beside it.
extension Family {
    static let idle = Family(name: "idle") { setup in
        try setup.withPath("idle") { path in
            let idle = try Idle(setup, path)
            return [
                Row(
                    name: "idle runner, wake-ups in 10 s, over \(idle.seconds) s",
                    figure: idle.waits, yardstick: Yardstick("without a runner", idle.bareWaits),
                    target: .yardstickPlus(1)),
                Row(
                    name: "idle runner, private memory", figure: idle.memory,
                    target: .atMost(Figure(15, .mebibytes))),
            ]
        }
    }
}

/// A runner that has nothing to do, and beside it a program without one, for some seconds.
struct Idle {
    let seconds: Int
    /// In 10 seconds.
    let waits: Figure
    let bareWaits: Figure
    let memory: Figure

    init(_ setup: Setup, _ path: String) throws {
        let seconds = setup.count(30, quick: 10)
        let runner = try ChildProcess(.idle, store: path)
        let bare = try ChildProcess(.bare, store: path)
        _ = try runner.line()
        _ = try bare.line()
        // The start is over by then, and the threads that it needed have ended.
        sleep(setup.isQuick ? 2 : 10)
        let before = (runner: try runner.waits(), bare: try bare.waits())
        sleep(UInt32(seconds))
        let waits = try runner.waits().since(before.runner)
        let bareWaits = try bare.waits().since(before.bare)
        let memory = try runner.privateMemory()
        try runner.end()
        try bare.end()
        func inTenSeconds(_ count: Int) -> Figure {
            Figure(Double(count) * 10 / Double(seconds), .count)
        }
        self.seconds = seconds
        self.memory = memory
        self.waits = inTenSeconds(waits)
        self.bareWaits = inTenSeconds(bareWaits)
    }
}

extension [String: Int] {
    /// What was added since `before`, counting the threads that are there now.
    fileprivate func since(_ before: [String: Int]) -> Int {
        reduce(0) { $0 + $1.value - (before[$1.key] ?? 0) }
    }
}
