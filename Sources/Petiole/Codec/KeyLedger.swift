#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The keys of the maps that are open, so that a key given twice is found when its map closes.
///
/// A stack: a map's keys lie above those of the maps around it. One word a key, the hash above and
/// the offset of the key's head below.
struct KeyLedger: ~Copyable {
    private var entries: UnsafeMutablePointer<UInt64>
    private var capacity: Int
    private(set) var count = 0

    /// Above this many keys a table is built; below it comparing all pairs costs less.
    private static let pairwiseLimit = 12
    /// Kept from payload to payload: 64 KiB. What a huge map needed is given back.
    private static let keptCapacity = 8_192
    /// Makes the table's collisions unpredictable to whoever writes the payload.
    private static let seed = UInt64.random(in: 0...UInt64.max) | 1

    init() {
        capacity = 64
        entries = .allocate(capacity: capacity)
    }

    deinit { entries.deallocate() }

    /// Notes the key of `length` bytes at `key`, whose head is at `offset`.
    @inline(__always)
    mutating func note(_ key: UnsafePointer<UInt8>, length: Int, offset: Int) {
        if count == capacity { grow(to: capacity * 2) }
        let hash = Self.cheapHash(key, length)
        entries[count] = UInt64(hash) &<< 32 | UInt64(UInt32(truncatingIfNeeded: offset))
        count &+= 1
    }

    /// Takes the keys noted since `start` off the stack.
    /// - Returns: the offset of a key that is there twice, or nil.
    /// - Complexity: O(*n*) on average, whatever the keys are.
    @inline(__always)
    mutating func close(from start: Int, in items: CompactItems) -> Int? {
        let number = count &- start
        defer { count = start }
        if number <= Self.pairwiseLimit {
            var later = start &+ 1
            while later < count {
                let hash = entries[later] &>> 32
                var earlier = start
                while earlier < later {
                    if entries[earlier] &>> 32 == hash,
                        Self.equal(entries[earlier], entries[later], in: items)
                    {
                        return Int(entries[later] & 0xFFFF_FFFF)
                    }
                    earlier &+= 1
                }
                later &+= 1
            }
            return nil
        }
        return duplicate(from: start, in: items)
    }

    mutating func removeAll() {
        count = 0
        if capacity > Self.keptCapacity { grow(to: Self.keptCapacity) }
    }

    mutating func truncate(to length: Int) { count = min(count, length) }

    /// Looks the keys up in a table of open addressing, at most half full.
    @inline(never)
    private mutating func duplicate(from start: Int, in items: CompactItems) -> Int? {
        var size = 32
        while size < (count - start) * 2 { size *= 2 }
        let table = UnsafeMutablePointer<UInt32>.allocate(capacity: size)
        defer { table.deallocate() }
        table.initialize(repeating: 0, count: size)
        for index in start..<count {
            let offset = Int(entries[index] & 0xFFFF_FFFF)
            let hash = Self.seededHash(items.string(at: offset))
            entries[index] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(offset)
            var slot = Int(truncatingIfNeeded: hash) & (size - 1)
            while table[slot] != 0 {
                let other = entries[start + Int(table[slot]) - 1]
                if other >> 32 == hash >> 32, Self.equal(other, entries[index], in: items) {
                    return offset
                }
                slot = (slot + 1) & (size - 1)
            }
            table[slot] = UInt32(index - start + 1)
        }
        return nil
    }

    private mutating func grow(to newCapacity: Int) {
        let new = UnsafeMutablePointer<UInt64>.allocate(capacity: newCapacity)
        new.update(from: entries, count: count)
        entries.deallocate()
        entries = new
        capacity = newCapacity
    }

    private static func equal(_ one: UInt64, _ other: UInt64, in items: CompactItems) -> Bool {
        let one = items.string(at: Int(one & 0xFFFF_FFFF))
        let other = items.string(at: Int(other & 0xFFFF_FFFF))
        guard one.count == other.count else { return false }
        guard let left = one.baseAddress, let right = other.baseAddress else { return true }
        return memcmp(left, right, one.count) == 0
    }

    /// Tells the field names of one type apart; equal hashes only cost a comparison.
    @inline(__always)
    private static func cheapHash(_ key: UnsafePointer<UInt8>, _ length: Int) -> UInt32 {
        let raw = UnsafeRawPointer(key)
        var bits: UInt64
        if length >= 8 {
            bits = raw.loadUnaligned(as: UInt64.self)
            bits ^= raw.loadUnaligned(fromByteOffset: length &- 8, as: UInt64.self) &* 31
        } else if length >= 4 {
            bits = UInt64(raw.loadUnaligned(as: UInt32.self))
            bits |= UInt64(raw.loadUnaligned(fromByteOffset: length &- 4, as: UInt32.self)) &<< 32
        } else if length > 0 {
            bits = UInt64(key[0]) | UInt64(key[length &>> 1]) &<< 8
            bits |= UInt64(key[length &- 1]) &<< 16
        } else {
            bits = 0
        }
        bits = (bits ^ UInt64(truncatingIfNeeded: length)) &* 0x9E37_79B9_7F4A_7C15
        return UInt32(truncatingIfNeeded: bits &>> 32)
    }

    /// Folded multiplication over eight bytes at a time, from a seed of this process.
    private static func seededHash(_ key: UnsafeBufferPointer<UInt8>) -> UInt64 {
        let raw = UnsafeRawBufferPointer(key)
        var hash = seed ^ UInt64(key.count)
        var index = 0
        while index + 8 <= raw.count {
            hash = fold(hash ^ raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            index += 8
        }
        var rest: UInt64 = 0
        while index < raw.count {
            rest = rest << 8 | UInt64(raw[index])
            index += 1
        }
        return fold(fold(hash ^ rest) ^ seed)
    }

    private static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
        return product.high ^ product.low ^ seed
    }
}
