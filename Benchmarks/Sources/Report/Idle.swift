import Foundation
import Petiole

/// What a runner costs that has nothing to do. The Swift runtime's Dispatch wakes up by itself about once a second
/// (it looks how many of its threads are blocked), so the same program without a runner stands beside it.
extension Family {
    static let idle = Family(name: "idle") { setup in
        let seconds = setup.count(30, quick: 10)
        return try setup.withPath("idle") { path in
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
            return [
                Row(
                    name: "idle runner, wake-ups in 10 s, over \(seconds) s",
                    figure: inTenSeconds(waits),
                    yardstick: Yardstick("without a runner", inTenSeconds(bareWaits)),
                    target: .yardstickPlus(1)),
                Row(
                    name: "idle runner, private memory", figure: memory,
                    target: .atMost(Figure(15, .mebibytes))),
            ]
        }
    }
}

extension [String: Int] {
    /// What was added since `before`, counting the threads that are there now.
    fileprivate func since(_ before: [String: Int]) -> Int {
        reduce(0) { $0 + $1.value - (before[$1.key] ?? 0) }
    }
}
