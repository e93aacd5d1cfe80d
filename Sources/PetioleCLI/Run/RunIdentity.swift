import Petiole

/// By what a run is known when the same line is started again: its template, whether a shell reads it, and the working
/// directory, and what an input is made of. Not by its inputs, nor by options that only say how fast or how often.
struct RunIdentity {
    private let name: String

    /// - Parameter shape: what an input is made of, where that is not said by the rest.
    init(_ template: CommandTemplate, directory: [UInt8], shape: [UInt8] = []) {
        var bytes = Array("petiole run 1".utf8)
        bytes.append(template.isLine ? 1 : 0)
        for part in [directory] + template.words + (shape.isEmpty ? [] : [[0] + shape]) {
            // The length first: ["ab"] and ["a", "b"] are different runs.
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: part.count >> shift))
            }
            bytes += part
        }
        name = "run-" + Digest.hex(bytes, digits: 20)
    }

    /// The queue of a generation; each `--fresh` begins another.
    func queue(generation: Int) -> String { generation == 1 ? name : "\(name).\(generation)" }

    /// The queue of what follows a generation; its name is that of no other generation.
    func followUpQueue(generation: Int) -> String { queue(generation: generation) + ".then" }

    /// Whether the queue is one of its generations.
    func owns(_ queue: String) -> Bool { queue == name || queue.hasPrefix(name + ".") }

    /// Whether a queue is that of a generation of any run.
    static func isRun(_ queue: String) -> Bool {
        guard queue.hasPrefix("run-") else { return false }
        let parts = queue.dropFirst(4).split(separator: ".", omittingEmptySubsequences: false)
        guard parts[0].utf8.count == 20, parts[0].allSatisfy({ $0.isHexDigit }) else {
            return false
        }
        return parts.count == 1 || parts.count == 2 && Int(parts[1]) != nil
    }

    /// The newest generation there is; 0 when the run was never started.
    func generation(in store: JobStore) throws -> Int {
        try store.queues().reduce(0) { newest, queue in
            guard queue.name.hasPrefix(name) else { return newest }
            let rest = queue.name.dropFirst(name.count)
            if rest.isEmpty { return max(newest, 1) }
            return max(newest, rest.first == "." ? Int(rest.dropFirst()) ?? 0 : 0)
        }
    }
}
