#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The compact form: the part of CBOR that payloads need, and nothing else.
///
/// Integers of 64 bits, byte and text strings, arrays, maps with text keys, false, true, null and
/// floating-point numbers, all of definite length. Refused: tags, other simple values, indefinite
/// lengths, keys that are not text, a key given twice, text that is not UTF-8, bytes after the
/// value. So every reader sees the same value in the same bytes.
/// - Source: [RFC 8949](https://www.rfc-editor.org/rfc/rfc8949), section 3 for the form, 4.2.1 for
///   definite lengths and the shortest heads, which the writer keeps to.
enum CompactForm {
    /// Containers in one another. Bounds the recursion of every reader and writer here.
    static let depthLimit = 64
    /// Offsets are kept in 32 bits.
    static let byteLimit = Int(Int32.max)

    /// The upper three bits of an item's first byte.
    enum Kind: UInt8 {
        case unsigned, negative, bytes, text, array, map, tag, simple
    }

    static let `false`: UInt8 = 0xF4
    static let `true`: UInt8 = 0xF5
    static let null: UInt8 = 0xF6
    static let half: UInt8 = 0xF9
    static let single: UInt8 = 0xFA
    static let double: UInt8 = 0xFB

    /// The bytes of a head for an argument of this size.
    @inline(__always)
    static func headLength(_ argument: UInt64) -> Int {
        if argument < 24 { return 1 }
        if argument <= 0xFF { return 2 }
        if argument <= 0xFFFF { return 3 }
        return argument <= 0xFFFF_FFFF ? 5 : 9
    }

    /// Writes a head of `headLength(argument)` bytes.
    @inline(__always)
    static func storeHead(
        _ kind: Kind, _ argument: UInt64, at place: UnsafeMutableRawPointer
    ) {
        let bits = kind.rawValue &<< 5
        if argument < 24 {
            place.storeBytes(of: bits | UInt8(truncatingIfNeeded: argument), as: UInt8.self)
        } else if argument <= 0xFF {
            place.storeBytes(of: bits | 24, as: UInt8.self)
            place.storeBytes(
                of: UInt8(truncatingIfNeeded: argument), toByteOffset: 1, as: UInt8.self)
        } else if argument <= 0xFFFF {
            place.storeBytes(of: bits | 25, as: UInt8.self)
            place.storeBytes(
                of: UInt16(truncatingIfNeeded: argument).bigEndian, toByteOffset: 1,
                as: UInt16.self)
        } else if argument <= 0xFFFF_FFFF {
            place.storeBytes(of: bits | 26, as: UInt8.self)
            place.storeBytes(
                of: UInt32(truncatingIfNeeded: argument).bigEndian, toByteOffset: 1,
                as: UInt32.self)
        } else {
            place.storeBytes(of: bits | 27, as: UInt8.self)
            place.storeBytes(of: argument.bigEndian, toByteOffset: 1, as: UInt64.self)
        }
    }

    /// The value of a number of 16 bits (RFC 8949, appendix D).
    static func half(_ bits: UInt16) -> Float {
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        let exponent = Int(bits >> 10 & 0x1F)
        let fraction = Float(bits & 0x3FF)
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31:
            return Float(
                bitPattern: UInt32(bits & 0x8000) << 16 | 0x7F80_0000 | UInt32(bits & 0x3FF) << 13)
        default:
            return sign
                * Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
        }
    }
}

extension ByteWriter {
    @inline(__always)
    mutating func appendHead(_ kind: CompactForm.Kind, _ argument: UInt64) {
        CompactForm.storeHead(
            kind, argument, at: reserve(CompactForm.headLength(argument)))
    }

    @inline(__always)
    mutating func appendInteger<Value: FixedWidthInteger>(_ value: Value) {
        if value < 0 {
            appendHead(.negative, UInt64(truncatingIfNeeded: ~value))
        } else {
            appendHead(.unsigned, UInt64(truncatingIfNeeded: value))
        }
    }

    /// In four bytes where they hold the same number. A NaN keeps its bits.
    @inline(__always)
    mutating func appendDouble(_ value: Double) {
        let narrow = Float(value)
        if Double(narrow) == value {
            append(CompactForm.single)
            append(bigEndian: narrow.bitPattern)
        } else {
            append(CompactForm.double)
            append(bigEndian: value.bitPattern)
        }
    }

    @inline(__always)
    mutating func appendString(_ kind: CompactForm.Kind, _ bytes: UnsafeRawBufferPointer) {
        appendHead(kind, UInt64(bytes.count))
        append(contentsOf: bytes)
    }

    @inline(__always)
    mutating func appendText(_ text: String) {
        var text = text
        text.withUTF8 { appendString(.text, UnsafeRawBufferPointer($0)) }
    }

    /// Writes the head of a container whose one-byte head was left open at `offset`, now that the
    /// count is known. A count of 24 and more moves the content up.
    mutating func closeContainer(_ kind: CompactForm.Kind, at offset: Int, count members: Int) {
        let length = CompactForm.headLength(UInt64(members))
        if length > 1 { openGap(at: offset + 1, length: length - 1) }
        CompactForm.storeHead(kind, UInt64(members), at: base + offset)
    }
}

/// Reads items of bytes that ``CompactValidator`` found well-formed.
struct CompactItems {
    let base: UnsafePointer<UInt8>
    let count: Int

    struct Head {
        let kind: CompactForm.Kind
        let argument: UInt64
        /// Where what follows the head begins.
        let end: Int
    }

    /// - Precondition: an item begins at `offset`.
    @inline(__always)
    func head(at offset: Int) -> Head {
        let first = base[offset]
        // Three bits: every value is one of the eight kinds.
        let kind = unsafeBitCast(first &>> 5, to: CompactForm.Kind.self)
        let raw = UnsafeRawPointer(base + offset + 1)
        switch first & 0x1F {
        case 24:
            return Head(
                kind: kind, argument: UInt64(raw.load(as: UInt8.self)), end: offset &+ 2)
        case 25:
            let bits = UInt16(bigEndian: raw.loadUnaligned(as: UInt16.self))
            return Head(kind: kind, argument: UInt64(bits), end: offset &+ 3)
        case 26:
            let bits = UInt32(bigEndian: raw.loadUnaligned(as: UInt32.self))
            return Head(kind: kind, argument: UInt64(bits), end: offset &+ 5)
        case 27:
            let bits = UInt64(bigEndian: raw.loadUnaligned(as: UInt64.self))
            return Head(kind: kind, argument: bits, end: offset &+ 9)
        case let short:
            return Head(kind: kind, argument: UInt64(short), end: offset &+ 1)
        }
    }

    /// The bytes of the string whose head begins at `offset`.
    @inline(__always)
    func string(at offset: Int) -> UnsafeBufferPointer<UInt8> {
        let head = head(at: offset)
        return UnsafeBufferPointer(
            start: base + head.end, count: Int(truncatingIfNeeded: head.argument))
    }

    /// Where the item that begins at `offset` ends.
    /// - Complexity: O(1) for all but containers; O(items) for those.
    @inline(__always)
    func end(of offset: Int) -> Int {
        let head = head(at: offset)
        switch head.kind {
        case .bytes, .text: return head.end &+ Int(truncatingIfNeeded: head.argument)
        case .array, .map: return containerEnd(head)
        default: return head.end
        }
    }

    private func containerEnd(_ outer: Head) -> Int {
        var position = outer.end
        var left = outer.argument &<< (outer.kind == .map ? 1 : 0)
        while left > 0 {
            let head = head(at: position)
            position = head.end
            left &-= 1
            switch head.kind {
            case .bytes, .text: position &+= Int(truncatingIfNeeded: head.argument)
            case .array: left &+= head.argument
            case .map: left &+= head.argument &<< 1
            default: break
            }
        }
        return position
    }

    /// What a person calls the item at `offset`.
    func name(at offset: Int) -> String {
        switch head(at: offset).kind {
        case .unsigned, .negative: return "an integer"
        case .bytes: return "bytes"
        case .text: return "text"
        case .array: return "an array"
        case .map: return "a map"
        case .tag: return "a tag"
        case .simple:
            switch base[offset] {
            case CompactForm.false, CompactForm.true: return "a boolean"
            case CompactForm.null: return "null"
            default: return "a floating-point number"
            }
        }
    }
}
