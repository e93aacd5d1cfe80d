import Petiole
import Synchronization

/// Prints whole lines as commands write them.
///
/// Each command is read by a thread of its own, and that prints: while the reader of our output is slow, the command waits on
/// its pipe, and nothing piles up. A line that is not whole is held until it is, or is 1 MiB long.
final class LivePrinter: Sendable {
    private struct Key: Hashable {
        let job: UInt64
        let isError: Bool
    }

    private struct Line {
        var bytes: [UInt8] = []
        var shown: OutputText.Shown?
        /// What was printed last did not end a line.
        var isOpen = false
    }

    private let style: OutputStyle
    private let store: JobStore
    /// Of the commands that run and have written something.
    private let lines = Mutex<[Key: Line]>([:])
    private let whenBroken = Mutex<(@Sendable (Int32) -> Void)?>(nil)
    private static let lineLimit = 1 << 20

    init(_ store: JobStore, style: OutputStyle) {
        self.store = store
        self.style = style
    }

    /// Who is told when standard output cannot be written.
    func whenBroken(_ body: @escaping @Sendable (Int32) -> Void) {
        whenBroken.withLock { $0 = body }
    }

    /// Called by one thread for a job.
    func take(_ id: JobID, _ stream: CommandStream, _ bytes: UnsafeRawBufferPointer) {
        let key = Key(job: id.rawValue, isError: stream == .errorOutput)
        var line = lines.withLock { $0.removeValue(forKey: key) } ?? begin(id, stream)
        let end = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        if end > 0 || line.bytes.count + bytes.count > Self.lineLimit {
            let printed = end > 0 ? end : bytes.count
            line.bytes.append(contentsOf: bytes[..<printed])
            line.isOpen = end == 0
            print(&line, to: stream)
            line.bytes = Array(bytes[printed...])
        } else {
            line.bytes.append(contentsOf: bytes)
        }
        lines.withLock { $0[key] = line }
    }

    /// The command has ended: a last line without its end is printed as a line.
    func end(_ id: JobID) {
        for stream in [CommandStream.output, .errorOutput] {
            let key = Key(job: id.rawValue, isError: stream == .errorOutput)
            guard var line = lines.withLock({ $0.removeValue(forKey: key) }),
                !line.bytes.isEmpty || line.isOpen
            else { continue }
            line.bytes.append(UInt8(ascii: "\n"))
            print(&line, to: stream)
        }
    }

    private func begin(_ id: JobID, _ stream: CommandStream) -> Line {
        // A store that cannot be read is said by who records the outcome.
        let tag = (try? style.tag(of: id, in: store)) ?? nil
        return Line(shown: style.text(to: Self.target(stream), tag: tag))
    }

    private static func target(_ stream: CommandStream) -> Standard {
        stream == .output ? .output : .error
    }

    private func print(_ line: inout Line, to stream: CommandStream) {
        let target = Self.target(stream)
        // The bar makes room, also on the same terminal.
        Standard.error.eraseBar()
        var bytes = line.bytes
        if line.shown != nil { bytes = bytes.withUnsafeBytes { line.shown!.take($0) } }
        let code = bytes.withUnsafeBytes { target.writeAtOnce($0) }
        if let code, stream == .output { whenBroken.withLock { $0 }?(code) }
    }
}
