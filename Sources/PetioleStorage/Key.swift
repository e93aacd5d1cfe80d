/// A key of at most 32 bytes, built without allocating: numbers in big-endian order, so that LMDB's order of bytes is
/// the order of the numbers, on every machine.
@frozen package struct Key: Sendable {
    @usableFromInline var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    /// Bytes in use, 0…32.
    @usableFromInline package var count = 0

    @inlinable package init() {}

    /// A key of one number, 8 bytes.
    @inlinable package init(_ value: UInt64) {
        words.0 = value.bigEndian
        count = 8
    }

    /// A key of up to 32 bytes given.
    package init(copying bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= 32, "a key holds at most 32 bytes")
        unsafe withUnsafeMutableBytes(of: &words) { unsafe $0.copyMemory(from: bytes) }
        count = bytes.count
    }

    /// Adds a number's bytes, most significant first.
    @inlinable package mutating func append<Number: FixedWidthInteger>(_ value: Number) {
        let size = MemoryLayout<Number>.size
        precondition(count + size <= 32, "a key holds at most 32 bytes")
        let at = count
        unsafe withUnsafeMutableBytes(of: &words) { bytes in
            unsafe bytes.storeBytes(of: value.bigEndian, toByteOffset: at, as: Number.self)
        }
        count += size
    }

    @inlinable package func appending<Number: FixedWidthInteger>(_ value: Number) -> Key {
        var key = self
        key.append(value)
        return key
    }

    /// Lends the bytes.
    @inlinable @inline(__always)
    package func withBytes<Value, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let count = count
        // `withUnsafeBytes(of:)` rethrows untyped errors only; the pointer stays inside this scope.
        var result: Result<Value, Failure>?
        unsafe withUnsafeBytes(of: words) { bytes in
            do throws(Failure) {
                result = .success(
                    try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[..<count])))
            } catch {
                result = .failure(error)
            }
        }
        return try result!.get()
    }
}

extension UnsafeRawBufferPointer {
    /// Reads a big-endian number out of a key.
    @inlinable package func bigEndian<Number: FixedWidthInteger>(
        at offset: Int, as type: Number.Type = Number.self
    ) -> Number {
        unsafe Number(bigEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    /// Reads a little-endian number out of a value.
    @inlinable package func littleEndian<Number: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Number.Type = Number.self
    ) -> Number {
        unsafe Number(littleEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}

extension UnsafeMutableRawPointer {
    /// Writes a little-endian number into a value.
    @inlinable package func storeLittleEndian<Number: FixedWidthInteger & BitwiseCopyable>(
        _ value: Number, at offset: Int
    ) {
        unsafe storeBytes(of: value.littleEndian, toByteOffset: offset, as: Number.self)
    }
}
