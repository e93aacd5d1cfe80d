import Petiole

/// What lies beside the payload of a run's job: which of its equals the input is, seven bits a byte, low ones first, then the
/// input's bytes (``Input/mark``). Of an input of more than ``limit`` bytes a zero byte comes first, and the digest is in the place
/// of the bytes.
enum InputMark {
    /// What lies beside a payload has a length of 16 bits.
    static let limit = 60_000

    /// What stands for an input, among those of its run.
    struct Key: Equatable {
        let bytes: [UInt8]
        /// Whether the bytes are the digest of a longer input: another key than that of an input with these bytes.
        let isDigest: Bool

        init(_ input: Input) {
            let mark = input.mark
            isDigest = mark.count > limit
            bytes = isDigest ? Digest.bytes(mark) : mark
        }
    }

    static func bytes(_ key: Key, occurrence: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(key.bytes.count + 3)
        if key.isDigest { bytes.append(0) }
        var rest = occurrence
        while rest > 127 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
        return bytes + key.bytes
    }

    /// The number among equals, the key's bytes, and whether these are a digest.
    static func read(
        _ bytes: UnsafeRawBufferPointer
    ) -> (occurrence: Int, key: UnsafeRawBufferPointer, isDigest: Bool)? {
        // The number is never 0: a zero byte says that a digest follows it.
        let isDigest = bytes.first == 0
        let number = isDigest ? UnsafeRawBufferPointer(rebasing: bytes[1...]) : bytes
        var occurrence = 0
        for (index, byte) in number.prefix(9).enumerated() {
            occurrence |= Int(byte & 127) << (7 * index)
            if byte & 128 == 0 {
                return (
                    occurrence, UnsafeRawBufferPointer(rebasing: number[(index + 1)...]), isDigest
                )
            }
        }
        return nil
    }

    /// The values of the input; nil when they are not there.
    static func values(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]]? {
        guard let (_, mark, isDigest) = read(bytes), !isDigest else { return nil }
        return mark.split(separator: 0, omittingEmptySubsequences: false).map { Array($0) }
    }
}
