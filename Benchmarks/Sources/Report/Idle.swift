import Foundation
import Petiole

/// What a runner costs that has nothing to do.
extension Family {
    static let idle = Family(name: "idle") { setup in
        try setup.withPath("idle") { path in
            let child = try ChildProcess(.idle, store: path)
            _ = try child.line()
            // Its start is over by then.
            sleep(2)
            let seconds = setup.count(30, quick: 10)
            let before = try child.waits()
            sleep(UInt32(seconds))
            let waits = try child.waits().reduce(0) { $0 + $1.value - (before[$1.key] ?? 0) }
            let memory = try child.privateMemory()
            try child.end()
            return [
                Row(
                    name: "idle runner, wake-ups in 10 s, over \(seconds) s",
                    figure: Figure(Double(waits) * 10 / Double(seconds), .count),
                    target: .atMost(Figure(1, .count))),
                Row(
                    name: "idle runner, private memory", figure: memory,
                    target: .atMost(Figure(15, .mebibytes))),
            ]
        }
    }
}
