#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A growing run of bytes with one owner. Once grown, appending allocates nothing.
@usableFromInline @frozen
package struct ByteWriter: ~Copyable {
    /// The bytes: `count` of them are written, `capacity` are allocated. Owned, freed by `deinit`.
    @usableFromInline package var base: UnsafeMutablePointer<UInt8>
    @usableFromInline package var capacity: Int
    /// The number of bytes written so far.
    @usableFromInline package var count: Int

    /// - Parameter capacity: bytes to allocate at once; at least 16 are, unless it is 0: then none before the first append.
    @inlinable
    package init(capacity: Int = 256) {
        self.capacity = capacity == 0 ? 0 : max(capacity, 16)
        // An address that nothing is read from or written to, as there is room for nothing.
        base = capacity == 0 ? ByteWriter.nowhere : .allocate(capacity: self.capacity)
        count = 0
    }

    @usableFromInline static var nowhere: UnsafeMutablePointer<UInt8> {
        UnsafeMutablePointer(bitPattern: 16)!
    }

    deinit { if capacity > 0 { base.deallocate() } }

    @inlinable @inline(__always)
    package mutating func append(_ byte: UInt8) {
        if count == capacity { grow(by: 1) }
        base[count] = byte
        count &+= 1
    }

    @inlinable @inline(__always)
    package mutating func append(contentsOf bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        reserve(bytes.count).copyMemory(from: source, byteCount: bytes.count)
    }

    @inlinable @inline(__always)
    package mutating func append<Value: FixedWidthInteger>(littleEndian value: Value) {
        reserve(MemoryLayout<Value>.size).storeBytes(of: value.littleEndian, as: Value.self)
    }

    @inlinable @inline(__always)
    package mutating func append<Value: FixedWidthInteger>(bigEndian value: Value) {
        reserve(MemoryLayout<Value>.size).storeBytes(of: value.bigEndian, as: Value.self)
    }

    /// Counts `length` bytes in and returns where they go. They hold garbage until written, and the
    /// address is good until the next append.
    @inlinable @inline(__always)
    package mutating func reserve(_ length: Int) -> UnsafeMutableRawPointer {
        if length > capacity &- count { grow(by: length) }
        let place = UnsafeMutableRawPointer(base + count)
        count &+= length
        return place
    }

    /// Forgets the bytes and keeps the allocation.
    @inlinable
    package mutating func removeAll() { count = 0 }

    /// Keeps the first `length` bytes. A length beyond `count` changes nothing.
    @inlinable
    package mutating func truncate(to length: Int) {
        precondition(length >= 0, "a byte writer cannot be cut to \(length) bytes")
        count = min(count, length)
    }

    /// Lends the bytes written so far.
    @inlinable
    package borrowing func withBytes<Value, Failure: Error>(
        _ read: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        try read(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Doubles, so that *n* appended bytes are copied O(*n*) times in all.
    @usableFromInline @inline(never)
    package mutating func grow(by length: Int) {
        let (needed, overflow) = count.addingReportingOverflow(length)
        precondition(length >= 0 && !overflow, "a byte writer cannot grow by \(length) bytes")
        let (doubled, tooMuch) = capacity.multipliedReportingOverflow(by: 2)
        let newCapacity = max(tooMuch ? needed : doubled, needed, 16)
        let new = UnsafeMutablePointer<UInt8>.allocate(capacity: newCapacity)
        new.update(from: base, count: count)
        if capacity > 0 { base.deallocate() }
        base = new
        capacity = newCapacity
    }
}

extension ByteWriter {
    /// Opens a gap of `length` bytes at `offset`; what was there moves up.
    mutating func openGap(at offset: Int, length: Int) {
        let tail = count - offset
        _ = reserve(length)
        memmove(base + offset + length, base + offset, tail)
    }

    /// Takes bytes off the front.
    mutating func removeFirst(_ length: Int) {
        precondition(length >= 0 && length <= count, "a byte writer has no \(length) bytes")
        count -= length
        memmove(base, base + length, count)
    }

    /// Gives a large allocation back, so that one large payload does not stay in memory for ever.
    mutating func shrink(toCapacity limit: Int) {
        guard capacity > limit, count <= limit else { return }
        let new = UnsafeMutablePointer<UInt8>.allocate(capacity: limit)
        new.update(from: base, count: count)
        base.deallocate()
        base = new
        capacity = limit
    }
}
