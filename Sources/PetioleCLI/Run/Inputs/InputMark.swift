import Petiole

/// What lies beside the payload of a run's job: which of its equals the input is, seven bits a byte, low ones first, then the
/// input's bytes (``Input/mark``). Of an input of more than ``limit`` bytes a zero byte comes first, and the digest is in the place
/// of the bytes.
enum InputMark {
    /// What lies beside a payload has a length of 16 bits.
    static let limit = 60_000

    /// What stands for an input, among those of its run.
    static func key(of input: Input) -> [UInt8] {
        let mark = input.mark
        return mark.count <= limit ? mark : Digest.bytes(mark)
    }

    static func bytes(_ input: Input, key: [UInt8], occurrence: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(key.count + 3)
        if isDigest(key, of: input) { bytes.append(0) }
        var rest = occurrence
        while rest > 127 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
        return bytes + key
    }

    private static func isDigest(_ key: [UInt8], of input: Input) -> Bool {
        if let source = input.source { return source.count > limit }
        return input.others.isEmpty
            ? input.first.count > limit
            : input.values.reduce(-1) { $0 + $1.count + 1 } > limit
    }

    /// The number among equals, and the key.
    static func read(_ bytes: UnsafeRawBufferPointer) -> (Int, UnsafeRawBufferPointer)? {
        // The number is never 0: a zero byte says that a digest follows it.
        let number = bytes.first == 0 ? UnsafeRawBufferPointer(rebasing: bytes[1...]) : bytes
        var occurrence = 0
        for (index, byte) in number.prefix(9).enumerated() {
            occurrence |= Int(byte & 127) << (7 * index)
            if byte & 128 == 0 {
                return (occurrence, UnsafeRawBufferPointer(rebasing: number[(index + 1)...]))
            }
        }
        return nil
    }

    /// The values of the input; nil when they are not there.
    static func values(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]]? {
        guard bytes.first != 0, let (_, mark) = read(bytes) else { return nil }
        return mark.split(separator: 0, omittingEmptySubsequences: false).map { Array($0) }
    }
}
