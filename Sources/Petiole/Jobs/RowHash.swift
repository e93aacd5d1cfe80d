/// A hash of 64 bits that is the same in each process: what a job in a child has read is compared by its runner.
///
/// SipHash-2-4 with a key of its own. Who knows the key and takes the trouble (2³² tries) finds two values of one hash; all that
/// he gets is that a job of his own is not run again.
/// - Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012.
enum RowHash {
    static func hash(
        _ bytes: UnsafeRawBufferPointer,
        key: (UInt64, UInt64) = (0x7065_7469_6f6c_652e, 0x726f_7773)
    ) -> UInt64 {
        var state = State(key)
        let whole = bytes.count & ~7
        for at in stride(from: 0, to: whole, by: 8) {
            state.take(bytes.littleEndian(at: at, as: UInt64.self))
        }
        var last = UInt64(truncatingIfNeeded: bytes.count) << 56
        for at in whole..<bytes.count { last |= UInt64(bytes[at]) << UInt64(8 * (at - whole)) }
        state.take(last)
        return state.finish()
    }

    private struct State {
        var v0, v1, v2, v3: UInt64

        init(_ key: (UInt64, UInt64)) {
            v0 = key.0 ^ 0x736f_6d65_7073_6575
            v1 = key.1 ^ 0x646f_7261_6e64_6f6d
            v2 = key.0 ^ 0x6c79_6765_6e65_7261
            v3 = key.1 ^ 0x7465_6462_7974_6573
        }

        private mutating func round() {
            v0 &+= v1
            v1 = v1 << 13 | v1 >> 51
            v1 ^= v0
            v0 = v0 << 32 | v0 >> 32
            v2 &+= v3
            v3 = v3 << 16 | v3 >> 48
            v3 ^= v2
            v0 &+= v3
            v3 = v3 << 21 | v3 >> 43
            v3 ^= v0
            v2 &+= v1
            v1 = v1 << 17 | v1 >> 47
            v1 ^= v2
            v2 = v2 << 32 | v2 >> 32
        }

        mutating func take(_ word: UInt64) {
            v3 ^= word
            round()
            round()
            v0 ^= word
        }

        mutating func finish() -> UInt64 {
            v2 ^= 0xff
            for _ in 0..<4 { round() }
            return v0 ^ v1 ^ v2 ^ v3
        }
    }
}
