/// SipHash-1-3 with a result of 128 bits: a hash for which nobody who does not know the key can make two texts that meet.
///
/// Swift's own `Hasher` is the same function with 64 bits, and one of a key that each process draws anew: what lies on the disk
/// needs one that stays.
/// - Source: Aumasson and Bernstein, [SipHash: a fast short-input PRF](https://www.aumasson.jp/siphash/siphash.pdf); the longer
///   result as in their reference code.
struct KeyedHash {
    struct Key {
        var low: UInt64
        var high: UInt64

        init(low: UInt64, high: UInt64) {
            self.low = low
            self.high = high
        }

        /// One that nobody else knows.
        init() {
            var generator = SystemRandomNumberGenerator()
            self.init(low: generator.next(), high: generator.next())
        }
    }

    struct Value: Hashable, Sendable {
        var low: UInt64
        var high: UInt64
    }

    private var v0, v1, v2, v3: UInt64
    /// Bytes that do not fill a word yet, the first in the lowest place.
    private var tail: UInt64 = 0
    private var count = 0

    init(_ key: Key) {
        v0 = key.low ^ 0x736f_6d65_7073_6575
        v1 = key.high ^ 0x646f_7261_6e64_6f6d ^ 0xEE
        v2 = key.low ^ 0x6c79_6765_6e65_7261
        v3 = key.high ^ 0x7465_6462_7974_6573
    }

    static func of(_ bytes: UnsafeRawBufferPointer, _ key: Key) -> Value {
        var hash = KeyedHash(key)
        hash.add(bytes)
        return hash.value
    }

    @inline(__always)
    private mutating func turn() {
        v0 = v0 &+ v1
        v1 = Self.rotated(v1, 13) ^ v0
        v0 = Self.rotated(v0, 32)
        v2 = v2 &+ v3
        v3 = Self.rotated(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = Self.rotated(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = Self.rotated(v1, 17) ^ v2
        v2 = Self.rotated(v2, 32)
    }

    @inline(__always)
    private static func rotated(_ word: UInt64, _ count: UInt64) -> UInt64 {
        word << count | word >> (64 - count)
    }

    @inline(__always)
    private mutating func take(_ word: UInt64) {
        v3 ^= word
        turn()
        v0 ^= word
    }

    /// The value depends on the bytes alone, not on the pieces in which they come.
    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while count & 7 != 0, index < bytes.count {
            tail |= UInt64(bytes[index]) << UInt64(8 * (count & 7))
            count &+= 1
            index += 1
            if count & 7 == 0 {
                take(tail)
                tail = 0
            }
        }
        let words = (bytes.count - index) / 8
        for _ in 0..<words {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            take(UInt64(littleEndian: word))
            index += 8
        }
        count &+= words * 8
        while index < bytes.count {
            tail |= UInt64(bytes[index]) << UInt64(8 * (count & 7))
            count &+= 1
            index += 1
        }
    }

    /// Of the bytes so far.
    var value: Value {
        var end = self
        end.take(UInt64(truncatingIfNeeded: count) << 56 | tail)
        end.v2 ^= 0xEE
        for _ in 0..<3 { end.turn() }
        let low = end.v0 ^ end.v1 ^ end.v2 ^ end.v3
        end.v1 ^= 0xDD
        for _ in 0..<3 { end.turn() }
        return Value(low: low, high: end.v0 ^ end.v1 ^ end.v2 ^ end.v3)
    }
}
