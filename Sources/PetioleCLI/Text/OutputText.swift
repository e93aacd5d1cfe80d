import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What a command wrote, for people and for programs.
enum OutputText {
    /// A terminal is shown so much of an output; the rest is asked for by `--stdout`.
    private static let shownLimit = 64 << 10
    /// JSON holds all of what lies in the store, and of what lies in a file this much.
    private static let jsonLimit = 16 << 20

    /// Prints an output under a label: as it is to a pipe or file, and to a terminal with what could steer it escaped.
    static func show(
        _ label: String, _ output: CapturedOutput, of id: JobID, _ store: JobStore
    ) throws {
        if output.byteCount == 0 { return }
        Standard.output.line("\(label), \(counted(Int(clamping: output.byteCount), "byte")):")
        if Standard.output.isTerminal {
            let bytes = try bytes(output, store, limit: shownLimit)
            let text = ShownBytes.whole(bytes)
            for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast(
                text.hasSuffix("\n") ? 1 : 0)
            {
                Standard.output.line("  " + line)
            }
            if case .incomplete = output.wanted {
                // Said below.
            } else if UInt64(bytes.count) < output.wanted.byteCount {
                say("all of it is printed by: petiole show --\(label) \(id)")
            }
        } else {
            var last: UInt8?
            try forEachPiece(output, store) { bytes in
                last = bytes.last ?? last
                return Standard.output.write(bytes) == nil
            }
            if last != UInt8(ascii: "\n") { Standard.output.line("") }
        }
        sayLost(output, of: id)
        sayCut(output)
    }

    /// Says how much of an output is lost, if some is.
    static func sayLost(_ output: CapturedOutput, of id: JobID) {
        guard case .incomplete(_, let lost, let reason) = output.wanted else { return }
        say(
            "\(counted(Int(clamping: lost), "byte")) more that job \(id) wrote \(lost == 1 ? "is" : "are") lost: \(reason.text)"
        )
    }

    /// Prints all that is kept of an output: byte for byte, or with what could steer a terminal written out.
    static func copy(
        _ output: CapturedOutput, _ store: JobStore, to target: Standard, escapes: Bool
    ) throws {
        var shown = ShownBytes()
        try forEachPiece(output, store) { bytes in
            if !escapes { return target.write(bytes) == nil }
            target.write(shown.take(bytes))
            return true
        }
        target.write(shown.end())
        target.flush()
        sayCut(output)
    }

    static func sayCut(_ output: CapturedOutput) {
        if output.cutByteCount == 0 { return }
        let count = Int(clamping: output.cutByteCount)
        say("\(counted(count, "byte")) more were written behind the limit, and dropped")
    }

    /// Gives an output in pieces, of an incomplete one what is kept, for as long as `body` returns true.
    static func forEachPiece(
        _ output: CapturedOutput, _ store: JobStore, _ body: (UnsafeRawBufferPointer) -> Bool
    ) throws {
        switch output {
        case .inline(let bytes), .incomplete(let bytes, _, _):
            if !bytes.isEmpty { bytes.withUnsafeBytes { _ = body($0) } }
        case .spilled(let name, _): try read(name, store, limit: .max, body)
        case .cut(let output, _): try forEachPiece(output, store, body)
        }
    }

    static func bytes(
        _ output: CapturedOutput, _ store: JobStore, limit: Int = jsonLimit
    ) throws -> [UInt8] {
        switch output.wanted {
        case .cut: return []
        case .inline(let bytes), .incomplete(let bytes, _, _): return Array(bytes.prefix(limit))
        case .spilled(let name, _):
            var bytes: [UInt8] = []
            try read(name, store, limit: limit) {
                bytes.append(contentsOf: $0)
                return true
            }
            // What is text stays text.
            if bytes.count == limit { bytes.removeLast(ShownBytes.unfinishedLetter(bytes)) }
            return bytes
        }
    }

    /// - Parameter body: returns whether to go on.
    private static func read(
        _ name: String, _ store: JobStore, limit: Int, _ body: (UnsafeRawBufferPointer) -> Bool
    ) throws {
        let file = open(store.spillPath(name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else {
            throw Failure(
                "the file \(name) in the store's folder outputs cannot be read: \(systemText(errno))",
                status: 66)
        }
        defer { close(file) }
        var rest = limit
        let code: Int32? = withUnsafeTemporaryAllocation(byteCount: 256 << 10, alignment: 16) {
            buffer in
            while rest > 0 {
                let count = readBytes(file, buffer.baseAddress, min(buffer.count, rest))
                if count == 0 { return nil }
                if count < 0 {
                    if errno == EINTR { continue }
                    return errno
                }
                rest -= count
                if !body(UnsafeRawBufferPointer(rebasing: buffer[..<count])) { return nil }
            }
            return nil
        }
        if let code { throw Failure("an output cannot be read: \(systemText(code))", status: 74) }
    }
}

private func readBytes(_ file: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(file, buffer, count)
}
