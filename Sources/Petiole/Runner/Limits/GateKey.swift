/// Names what limits bind within a queue: the queue itself, a job type, a key of a job type.
struct GateKey: Hashable, Sendable {
    enum Kind: UInt8, Sendable {
        case queue = 0
        case type = 1
        case key = 2
    }
    let kind: Kind
    /// Of a type its number, of a key a hash: should two keys of the some billions that would take have the same, they share
    /// what is allowed to one.
    let hash: UInt64

    static let queue = GateKey(kind: .queue, hash: 0)

    static func type(_ name: UInt32) -> GateKey { GateKey(kind: .type, hash: UInt64(name)) }

    /// - Parameter key: bytes of UTF-8.
    static func key(_ key: some Sequence<UInt8>, of name: UInt32) -> GateKey {
        // FNV-1a, then the finalizer of MurmurHash3, whose every bit depends on each of the bits before. It is part of the
        // store's format: what waits at a gate lies under it.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ byte: UInt8, to hash: inout UInt64) {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
        }
        for shift in stride(from: 0, to: 32, by: 8) {
            add(UInt8(truncatingIfNeeded: name >> UInt32(shift)), to: &hash)
        }
        for byte in key { add(byte, to: &hash) }
        hash ^= hash >> 33
        hash = hash &* 0xFF51_AFD7_ED55_8CCD
        hash ^= hash >> 33
        hash = hash &* 0xC4CE_B9FE_1A85_EC53
        hash ^= hash >> 33
        return GateKey(kind: .key, hash: hash)
    }
}

/// What a gate lets through.
struct GateRules: Equatable, Sendable {
    /// Tickets at once; nil: any number.
    var concurrency: Int?
    var rate: RateLimit?
    /// One after another, also while one waits for its next attempt.
    var isOrdered = false
    /// Gates take turns.
    var isFair = false

    /// Whether all that comes is written to the gate's own list first.
    var isListed: Bool { isFair || isOrdered }
    var areNone: Bool { self == GateRules() }
    /// Whether a ticket holds something while it runs, and gives it back.
    var hold: Bool { concurrency != nil || isOrdered }
}
