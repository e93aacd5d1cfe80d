import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Prints what commands wrote, from what the store keeps of it.
struct JobOutputs: Sendable {
    let store: JobStore
    let style: OutputStyle

    /// Prints an output, and says on standard error what of it is missing.
    /// - Parameters:
    ///   - tag: what each line begins with.
    ///   - isPrinted: it was, as it was written: only what is missing is said.
    ///   - whenUnreadable: told of an output whose file cannot be read.
    /// - Returns: an errno when writing to the target has failed, now or before.
    func print(
        _ output: CapturedOutput, of id: JobID, to target: Standard, tag: [UInt8]?,
        isPrinted: Bool = false, whenUnreadable: (Failure) -> Void
    ) -> Int32? {
        var shown = style.text(to: target, tag: tag)
        var code: Int32?
        func put(_ bytes: UnsafeRawBufferPointer) {
            if shown == nil {
                code = target.write(bytes)
            } else {
                shown!.take(bytes).withUnsafeBytes { code = target.write($0) }
            }
        }
        if !isPrinted {
            switch output.wanted {
            case .inline(let bytes), .incomplete(let bytes, _, _):
                bytes.withUnsafeBytes { put($0) }
            case .spilled(let name, _):
                if let problem = Self.read(store.spillPath(name), put) {
                    whenUnreadable(
                        Failure(
                            "the output of job \(id), file \(name), cannot be read: \(systemText(problem))",
                            status: 125))
                }
            case .cut: break
            }
            if let rest = shown?.finish(), !rest.isEmpty {
                rest.withUnsafeBytes { code = target.write($0) }
            }
        }
        if let text = Self.missing(output, of: id, target) {
            // Behind what was printed.
            code = target.flush() ?? code
            say(text)
        }
        return code
    }

    /// What is not there of an output; nil: nothing.
    private static func missing(
        _ output: CapturedOutput, of id: JobID, _ target: Standard
    ) -> String? {
        let which = target === Standard.error ? "error output" : "output"
        if case .incomplete(_, let lost, let reason) = output.wanted {
            return
                "\(counted(Int(clamping: lost), "byte")) of the \(which) of job \(id) \(lost == 1 ? "is" : "are") lost: \(reason.text)"
        }
        if case .cut(let wanted, let count) = output {
            return
                "the \(which) of job \(id) is cut behind \(SizeText.text(Int(clamping: wanted.byteCount))): \(counted(Int(clamping: count), "byte")) more \(count == 1 ? "was" : "were") written"
        }
        return nil
    }

    /// - Returns: an errno.
    static func read(_ path: String, _ body: (UnsafeRawBufferPointer) -> Void) -> Int32? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return errno }
        defer { close(file) }
        return withUnsafeTemporaryAllocation(byteCount: 256 << 10, alignment: 16) { buffer in
            while true {
                let count = systemRead(file, buffer.baseAddress, buffer.count)
                if count == 0 { return nil }
                if count < 0 {
                    if errno == EINTR { continue }
                    return errno
                }
                body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
    }
}

private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(file, buffer, count)
}
