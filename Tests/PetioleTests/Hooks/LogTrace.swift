import Logging
import Synchronization

/// What is logged, for tests that expect it.
final class LogTrace: Sendable {
    private let list = Mutex<[String]>([])

    /// Messages with their metadata, as one line each.
    var lines: [String] { list.withLock { $0 } }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(trace: self) }
    }

    /// How many lines hold a text.
    func count(_ text: String) -> Int { lines.count { $0.contains(text) } }

    private struct Handler: LogHandler {
        let trace: LogTrace
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let details = (event.metadata ?? [:]).sorted { $0.key < $1.key }
                .map { "\($0.key)=\($0.value)" }.joined(separator: " ")
            trace.list.withLock { $0.append("\(event.level): \(event.message) \(details)") }
        }
    }
}
