import Petiole

/// How what commands wrote is printed: with a tag before each line, and, on a terminal, so that it cannot steer that.
struct OutputStyle: Sendable {
    let tag: TagTemplate?
    let isRaw: Bool
    private let isOutputTerminal: Bool
    private let isErrorTerminal: Bool

    init(tag: TagTemplate? = nil, isRaw: Bool = false) {
        self.tag = tag
        self.isRaw = isRaw
        // Asked once: it is a call of the system.
        isOutputTerminal = Standard.output.isTerminal
        isErrorTerminal = Standard.error.isTerminal
    }

    /// What the lines of a job begin with.
    func tag(of job: JobID, in store: JobStore) throws -> [UInt8]? {
        guard let tag else { return nil }
        let values = try store.extras(of: job).withUnsafeBytes { JobInput.values($0) }
        return tag.tag(of: values ?? [], job: job) + [UInt8(ascii: "\t")]
    }

    /// Nil: the bytes are printed as they are.
    func text(to target: Standard, tag: [UInt8]?) -> OutputText.Shown? {
        let isTerminal = target === Standard.error ? isErrorTerminal : isOutputTerminal
        if tag == nil, isRaw || !isTerminal { return nil }
        return OutputText.Shown(tag: tag, escapes: isTerminal && !isRaw)
    }
}

/// What a job of a run was made for.
enum JobInput {
    /// The values of its input, of what lies beside its payload; in the place of one that is too long to lie there its digest in
    /// hexadecimal digits. Nil: it is no job of a run.
    static func values(_ extras: UnsafeRawBufferPointer) -> [[UInt8]]? {
        if let values = InputMark.values(extras) { return values }
        return InputMark.read(extras).map { _, digest, _ in
            let digits = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
            return [Array(digits.joined().utf8)]
        }
    }

    /// Which of its equals it is, from 1.
    static func occurrence(_ extras: UnsafeRawBufferPointer) -> Int {
        InputMark.read(extras)?.0 ?? 1
    }
}
