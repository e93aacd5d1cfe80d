import Petiole

/// Which inputs a run has jobs for, and which of them are listed this time.
///
/// An input is known by its bytes and by which of its equals it is, not by its place. What is kept of one is 128 bits that
/// are keyed at random for each process: 10 million distinct inputs take some 600 MB, and two of them to meet is less
/// likely than the disk to err.
struct KnownInputs {
    private struct Key: Hashable {
        let low: Int
        let high: Int

        init(_ input: UnsafeRawBufferPointer, _ isDigest: Bool, occurrence: Int) {
            var first = Hasher()
            first.combine(isDigest)
            first.combine(occurrence)
            first.combine(bytes: input)
            low = first.finalize()
            var second = Hasher()
            second.combine(1)
            second.combine(isDigest)
            second.combine(occurrence)
            second.combine(bytes: input)
            high = second.finalize()
        }

        func hash(into hasher: inout Hasher) { hasher.combine(low) }
        static func == (left: Key, right: Key) -> Bool {
            left.low == right.low && left.high == right.high
        }
    }

    /// Inputs with jobs of earlier starts, and whether the job has ended.
    private var recorded: [Key: Bool] = [:]
    /// How often an input was listed this time.
    private var listed: [Key: Int32] = [:]
    /// Jobs of earlier starts that have not ended and are not listed, or not yet.
    private(set) var pendingUnlisted = 0

    /// Notes the input of a job of an earlier start.
    mutating func record(_ extras: UnsafeRawBufferPointer, hasEnded: Bool) {
        guard let (occurrence, input, isDigest) = InputMark.read(extras) else { return }
        recorded[Key(input, isDigest, occurrence: occurrence)] = hasEnded
        if !hasEnded { pendingUnlisted += 1 }
    }

    /// Notes that an input is listed.
    /// - Returns: which of its equals it is, from 1, when it has no job yet; nil when it has.
    mutating func list(_ input: InputMark.Key) -> Int? {
        input.bytes.withUnsafeBytes { bytes in
            let first = Key(bytes, input.isDigest, occurrence: 0)
            let occurrence = Int(listed[first, default: 0]) + 1
            listed[first] = Int32(clamping: occurrence)
            guard let hasEnded = recorded[Key(bytes, input.isDigest, occurrence: occurrence)] else {
                return occurrence
            }
            if !hasEnded { pendingUnlisted -= 1 }
            return nil
        }
    }
}
