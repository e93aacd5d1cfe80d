/// Base64 with padding.
/// - Source: [RFC 4648](https://www.rfc-editor.org/rfc/rfc4648), section 4.
enum Base64 {
    private static func digit(_ value: UInt32) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value & 63)
        switch value {
        case 0..<26: return UInt8(ascii: "A") + value
        case 26..<52: return UInt8(ascii: "a") + value - 26
        case 52..<62: return UInt8(ascii: "0") + value - 52
        case 62: return UInt8(ascii: "+")
        default: return UInt8(ascii: "/")
        }
    }

    private static func value(_ digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): return UInt32(digit - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): return UInt32(digit - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return UInt32(digit - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): return 62
        case UInt8(ascii: "/"): return 63
        default: return nil
        }
    }

    static func write(_ bytes: UnsafeBufferPointer<UInt8>, into text: inout ByteWriter) {
        var index = 0
        while index < bytes.count {
            let left = min(bytes.count - index, 3)
            var group = UInt32(bytes[index]) << 16
            if left > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if left > 2 { group |= UInt32(bytes[index + 2]) }
            text.append(digit(group >> 18))
            text.append(digit(group >> 12))
            text.append(left > 1 ? digit(group >> 6) : UInt8(ascii: "="))
            text.append(left > 2 ? digit(group) : UInt8(ascii: "="))
            index += 3
        }
    }

    /// Appends the bytes that `text` stands for.
    /// - Returns: false if it is not base64; then some bytes may have been appended.
    static func read(_ text: UnsafeRawBufferPointer, into bytes: inout ByteWriter) -> Bool {
        guard text.count % 4 == 0 else { return false }
        for index in stride(from: 0, to: text.count, by: 4) {
            let isLast = index + 4 == text.count
            var padding = 0
            if isLast, text[index + 3] == UInt8(ascii: "=") {
                padding = text[index + 2] == UInt8(ascii: "=") ? 2 : 1
            }
            var group: UInt32 = 0
            for place in 0..<4 {
                if place >= 4 - padding {
                    group <<= 6
                } else if let value = value(text[index + place]) {
                    group = group << 6 | value
                } else {
                    return false
                }
            }
            // Bits that stand for nothing must be zero, so that one text stands for each value.
            if padding == 1, group & 0xFF != 0 { return false }
            if padding == 2, group & 0xFFFF != 0 { return false }
            bytes.append(UInt8(truncatingIfNeeded: group >> 16))
            if padding < 2 { bytes.append(UInt8(truncatingIfNeeded: group >> 8)) }
            if padding < 1 { bytes.append(UInt8(truncatingIfNeeded: group)) }
        }
        return true
    }
}
