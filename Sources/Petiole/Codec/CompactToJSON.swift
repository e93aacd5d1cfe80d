/// The payload as JSON text, without knowing its type.
///
/// What is marked as a ``Secret`` becomes `"‹secret›"`. Bytes become `{"$bytes": "…"}` in base64, infinities and NaN the texts `"Infinity"`,
/// `"-Infinity"` and `"NaN"`. Control characters are escaped, also those above ASCII and the two
/// line separators, so that the text can go to a terminal.
/// - Parameter maximumBytes: bound on the text; a longer one is ``CodecError/tooLarge(limit:)``.
func compactToJSON(
    _ bytes: UnsafeRawBufferPointer, maximumBytes: Int
) throws(CodecError) -> String {
    var ledger = KeyLedger()
    var fences = CompactFences()
    guard let base = bytes.baseAddress, !bytes.isEmpty else {
        throw .malformed(offset: 0, reason: "the payload ends in the middle of the value")
    }
    let items = CompactItems(
        base: base.assumingMemoryBound(to: UInt8.self), count: bytes.count)
    try CompactValidator.check(items, ledger: &ledger, fences: &fences)
    var text = ByteWriter(capacity: min(bytes.count, max(maximumBytes, 0)) + 64)
    try CompactToJSON.write(
        trusted: bytes, into: &text, maximumBytes: maximumBytes, showsSecrets: false)
    return text.withBytes { String(decoding: $0, as: UTF8.self) }
}

/// Writes JSON text from bytes in the compact form.
enum CompactToJSON {
    /// - Parameter bytes: well-formed, as ``CompactWriting`` writes them and ``CompactValidator``
    ///   lets them pass.
    /// - Parameter showsSecrets: for text that is stored, not shown.
    static func write(
        trusted bytes: UnsafeRawBufferPointer, into text: inout ByteWriter, maximumBytes: Int,
        showsSecrets: Bool
    ) throws(CodecError) {
        guard let base = bytes.baseAddress else { return }
        let items = CompactItems(
            base: base.assumingMemoryBound(to: UInt8.self), count: bytes.count)
        let end = min(maximumBytes, Int.max - text.count) + text.count
        _ = try write(items, 0, &text, end, maximumBytes, showsSecrets)
    }

    /// - Returns: where the item at `offset` ends.
    private static func write(
        _ items: CompactItems, _ offset: Int, _ text: inout ByteWriter, _ limit: Int,
        _ maximumBytes: Int, _ showsSecrets: Bool
    ) throws(CodecError) -> Int {
        let head = items.head(at: offset)
        if !showsSecrets, let secret = SecretMark.value(items, head) {
            append("\"‹secret›\"", &text)
            guard text.count <= limit else { throw .tooLarge(limit: maximumBytes) }
            return items.end(of: secret)
        }
        var end = head.end
        switch head.kind {
        case .unsigned:
            digits(head.argument, &text)
        case .negative:
            text.append(UInt8(ascii: "-"))
            if head.argument == .max {
                append("18446744073709551616", &text)
            } else {
                digits(head.argument &+ 1, &text)
            }
        case .bytes:
            let bytes = items.string(at: offset)
            end &+= bytes.count
            guard bytes.count / 3 < max(limit &- text.count, 0) / 4 &+ 1 else {
                throw .tooLarge(limit: maximumBytes)
            }
            append("{\"$bytes\":\"", &text)
            Base64.write(bytes, into: &text)
            append("\"}", &text)
        case .text:
            let string = items.string(at: offset)
            end &+= string.count
            try quote(string, &text, limit, maximumBytes)
        case .array:
            text.append(UInt8(ascii: "["))
            for index in 0..<Int(truncatingIfNeeded: head.argument) {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                end = try write(items, end, &text, limit, maximumBytes, showsSecrets)
            }
            text.append(UInt8(ascii: "]"))
        case .map:
            text.append(UInt8(ascii: "{"))
            for index in 0..<Int(truncatingIfNeeded: head.argument) {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                let key = items.string(at: end)
                end = items.end(of: end)
                try quote(key, &text, limit, maximumBytes)
                text.append(UInt8(ascii: ":"))
                end = try write(items, end, &text, limit, maximumBytes, showsSecrets)
            }
            text.append(UInt8(ascii: "}"))
        case .tag, .simple:
            simple(items, offset, head, &text)
        }
        guard text.count <= limit else { throw .tooLarge(limit: maximumBytes) }
        return end
    }

    private static func simple(
        _ items: CompactItems, _ offset: Int, _ head: CompactItems.Head, _ text: inout ByteWriter
    ) {
        switch items.base[offset] {
        case CompactForm.false: append("false", &text)
        case CompactForm.true: append("true", &text)
        case CompactForm.half:
            number(CompactForm.half(UInt16(truncatingIfNeeded: head.argument)), &text)
        case CompactForm.single:
            number(Float(bitPattern: UInt32(truncatingIfNeeded: head.argument)), &text)
        case CompactForm.double: number(Double(bitPattern: head.argument), &text)
        default: append("null", &text)
        }
    }

    /// The shortest digits that read back as the same number; without a fraction where it has none.
    @inline(__always)
    private static func number<Value: BinaryFloatingPoint & LosslessStringConvertible>(
        _ value: Value, _ text: inout ByteWriter
    ) {
        if value.isNaN {
            append("\"NaN\"", &text)
        } else if value.isInfinite {
            append(value < 0 ? "\"-Infinity\"" : "\"Infinity\"", &text)
        } else {
            var shown = value.description
            shown.withUTF8 { text.append(contentsOf: UnsafeRawBufferPointer($0)) }
        }
    }

    @inline(__always)
    private static func digits(_ value: UInt64, _ text: inout ByteWriter) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var left = value
            var start = 20
            repeat {
                start &-= 1
                digits[start] = UInt8(truncatingIfNeeded: left % 10) &+ UInt8(ascii: "0")
                left /= 10
            } while left > 0
            text.append(
                contentsOf: UnsafeRawBufferPointer(
                    rebasing: UnsafeRawBufferPointer(digits)[start...]))
        }
    }

    @inline(__always)
    private static func append(_ literal: StaticString, _ text: inout ByteWriter) {
        text.append(
            contentsOf: UnsafeRawBufferPointer(
                start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    /// Writes runs of plain characters at once, and escapes the rest one by one.
    private static func quote(
        _ string: UnsafeBufferPointer<UInt8>, _ text: inout ByteWriter, _ limit: Int,
        _ maximumBytes: Int
    ) throws(CodecError) {
        guard string.count <= limit &- text.count else { throw .tooLarge(limit: maximumBytes) }
        text.append(UInt8(ascii: "\""))
        let raw = UnsafeRawBufferPointer(string)
        var plain = 0
        var index = 0
        while index < raw.count {
            let byte = raw[index]
            // 0xC2 leads U+0080…00BF, 0xD8 and 0xE2 lead the marks that turn text around.
            let length = isPlain(byte) ? 0 : escapedLength(raw, index)
            if length == 0 {
                index &+= 1
                continue
            }
            text.append(contentsOf: UnsafeRawBufferPointer(rebasing: raw[plain..<index]))
            escape(raw, index, length, &text)
            index &+= length
            plain = index
            guard text.count <= limit else { throw .tooLarge(limit: maximumBytes) }
        }
        text.append(contentsOf: UnsafeRawBufferPointer(rebasing: raw[plain...]))
        text.append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    /// How many bytes, from `index`, are one character to escape; 0 if it may stand.
    private static func escapedLength(_ raw: UnsafeRawBufferPointer, _ index: Int) -> Int {
        switch raw[index] {
        case 0x00..<0x20, 0x7F, UInt8(ascii: "\""), UInt8(ascii: "\\"): return 1
        case 0xC2 where raw[index + 1] < 0xA0: return 2
        case 0xD8 where raw[index + 1] == 0x9C: return 2
        case 0xE2 where raw[index + 1] == 0x80:
            let last = raw[index + 2]
            return last == 0x8E || last == 0x8F || (0xA8...0xAE).contains(last) ? 3 : 0
        case 0xE2 where raw[index + 1] == 0x81:
            return (0xA6...0xA9).contains(raw[index + 2]) ? 3 : 0
        default: return 0
        }
    }

    private static func escape(
        _ raw: UnsafeRawBufferPointer, _ index: Int, _ length: Int, _ text: inout ByteWriter
    ) {
        let scalar: UInt32
        switch length {
        case 1: scalar = UInt32(raw[index])
        case 2: scalar = UInt32(raw[index] & 0x1F) << 6 | UInt32(raw[index + 1] & 0x3F)
        default:
            scalar =
                UInt32(raw[index] & 0x0F) << 12 | UInt32(raw[index + 1] & 0x3F) << 6
                | UInt32(raw[index + 2] & 0x3F)
        }
        switch scalar {
        case 0x22: append("\\\"", &text)
        case 0x5C: append("\\\\", &text)
        case 0x08: append("\\b", &text)
        case 0x09: append("\\t", &text)
        case 0x0A: append("\\n", &text)
        case 0x0C: append("\\f", &text)
        case 0x0D: append("\\r", &text)
        default:
            append("\\u", &text)
            for shift in [12, 8, 4, 0] as [UInt32] {
                let digit = UInt8(truncatingIfNeeded: scalar >> shift & 0xF)
                text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            }
        }
    }
}
