/// Appends the compact form of a JSON text, so that a job may be enqueued by name from JSON without
/// its type. After an error `bytes` is as it was.
///
/// `{"$bytes": "…"}`, an object with this one key and base64 in it, becomes bytes. Numbers without
/// fraction and exponent stay integers within 64 bits; others become the nearest `Double`. A key
/// given twice, a lone surrogate, anything but white space after the value are errors.
func jsonToCompact(
    _ text: UnsafeRawBufferPointer, into bytes: inout ByteWriter
) throws(CodecError) {
    try JSONToCompact.write(text, readsBytes: true, into: &bytes)
}

/// Reads JSON text and writes the compact form as it goes.
/// - Source: [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), the grammar, without extensions.
struct JSONToCompact: ~Copyable {
    private let text: UnsafeBufferPointer<UInt8>
    private let readsBytes: Bool
    private var position = 0
    private var ledger = KeyLedger()

    private init(_ text: UnsafeBufferPointer<UInt8>, readsBytes: Bool) {
        self.text = text
        self.readsBytes = readsBytes
    }

    static func write(
        _ text: UnsafeRawBufferPointer, readsBytes: Bool, into bytes: inout ByteWriter
    ) throws(CodecError) {
        guard text.count <= CompactForm.byteLimit else {
            throw .tooLarge(limit: CompactForm.byteLimit)
        }
        let text = text.assumingMemoryBound(to: UInt8.self)
        if let base = text.baseAddress {
            guard UTF8Check.isValid(base, text.count) else {
                throw .malformed(offset: 0, reason: "text that is not UTF-8 stands")
            }
        }
        var reader = JSONToCompact(text, readsBytes: readsBytes)
        let start = bytes.count
        do throws(CodecError) {
            reader.skipSpace()
            try reader.value(depth: 0, &bytes)
            reader.skipSpace()
            guard reader.position == text.count else {
                throw .malformed(offset: reader.position, reason: "there is more after the value")
            }
        } catch {
            bytes.truncate(to: start)
            throw error
        }
    }

    // MARK: - Values

    private mutating func value(depth: Int, _ bytes: inout ByteWriter) throws(CodecError) {
        switch peek {
        case UInt8(ascii: "{"): try object(depth: depth, &bytes)
        case UInt8(ascii: "["): try array(depth: depth, &bytes)
        case UInt8(ascii: "\""): try string(&bytes)
        case UInt8(ascii: "t"): try word("true", CompactForm.true, &bytes)
        case UInt8(ascii: "f"): try word("false", CompactForm.false, &bytes)
        case UInt8(ascii: "n"): try word("null", CompactForm.null, &bytes)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number(&bytes)
        default: throw unexpected("a value")
        }
    }

    private mutating func array(depth: Int, _ bytes: inout ByteWriter) throws(CodecError) {
        guard depth < CompactForm.depthLimit else { throw .tooDeep(limit: CompactForm.depthLimit) }
        let start = bytes.count
        var members = 0
        bytes.append(0)
        position &+= 1
        skipSpace()
        if peek != UInt8(ascii: "]") {
            while true {
                try value(depth: depth &+ 1, &bytes)
                members &+= 1
                skipSpace()
                guard peek == UInt8(ascii: ",") else { break }
                position &+= 1
                skipSpace()
            }
            guard peek == UInt8(ascii: "]") else { throw unexpected("a comma or a bracket") }
        }
        position &+= 1
        bytes.closeContainer(.array, at: start, count: members)
    }

    private mutating func object(depth: Int, _ bytes: inout ByteWriter) throws(CodecError) {
        guard depth < CompactForm.depthLimit else { throw .tooDeep(limit: CompactForm.depthLimit) }
        let start = bytes.count
        let opening = position
        let firstKey = ledger.count
        var members = 0
        bytes.append(0)
        position &+= 1
        skipSpace()
        if peek != UInt8(ascii: "}") {
            while true {
                guard peek == UInt8(ascii: "\"") else { throw unexpected("a key") }
                let key = bytes.count
                guard key < CompactForm.byteLimit else {
                    throw .tooLarge(limit: CompactForm.byteLimit)
                }
                try string(&bytes)
                let name = CompactItems(base: bytes.base, count: bytes.count).string(at: key)
                ledger.note(name.baseAddress.unsafelyUnwrapped, length: name.count, offset: key)
                skipSpace()
                guard peek == UInt8(ascii: ":") else { throw unexpected("a colon") }
                position &+= 1
                skipSpace()
                try value(depth: depth &+ 1, &bytes)
                members &+= 1
                skipSpace()
                guard peek == UInt8(ascii: ",") else { break }
                position &+= 1
                skipSpace()
            }
            guard peek == UInt8(ascii: "}") else { throw unexpected("a comma or a brace") }
        }
        position &+= 1
        let items = CompactItems(base: bytes.base, count: bytes.count)
        if ledger.close(from: firstKey, in: items) != nil {
            throw .malformed(offset: opening, reason: "an object with a key given twice stands")
        }
        if readsBytes, members == 1, replacedByBytes(start, &bytes) { return }
        bytes.closeContainer(.map, at: start, count: members)
    }

    /// Turns the map of one member that begins at `start` into the bytes it stands for, if it does.
    private func replacedByBytes(_ start: Int, _ bytes: inout ByteWriter) -> Bool {
        let items = CompactItems(base: bytes.base, count: bytes.count)
        let value = items.end(of: start + 1)
        guard items.string(at: start + 1).elementsEqual("$bytes".utf8),
            items.head(at: value).kind == .text
        else { return false }
        let text = UnsafeRawBufferPointer(items.string(at: value))
        var decoded = ByteWriter(capacity: text.count)
        guard Base64.read(text, into: &decoded) else { return false }
        bytes.truncate(to: start)
        decoded.withBytes { bytes.appendString(.bytes, $0) }
        return true
    }

    private mutating func word(
        _ word: StaticString, _ byte: UInt8, _ bytes: inout ByteWriter
    ) throws(CodecError) {
        for index in 0..<word.utf8CodeUnitCount {
            guard position < text.count, text[position] == word.utf8Start[index] else {
                throw unexpected("a value")
            }
            position &+= 1
        }
        bytes.append(byte)
    }

    // MARK: - Strings

    private mutating func string(_ bytes: inout ByteWriter) throws(CodecError) {
        position &+= 1
        let start = position
        while position < text.count {
            let byte = text[position]
            if byte == UInt8(ascii: "\"") {
                bytes.appendString(.text, run(start..<position))
                position &+= 1
                return
            }
            if byte == UInt8(ascii: "\\") || byte < 0x20 { break }
            position &+= 1
        }
        let head = bytes.count
        bytes.append(0)
        bytes.append(contentsOf: run(start..<position))
        try escapedRest(&bytes)
        bytes.closeContainer(.text, at: head, count: bytes.count - head - 1)
    }

    private mutating func escapedRest(_ bytes: inout ByteWriter) throws(CodecError) {
        while position < text.count {
            let byte = text[position]
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return
            case UInt8(ascii: "\\"):
                position += 1
                try escape(&bytes)
            case 0..<0x20:
                throw unexpected("a character that is no control character")
            default:
                bytes.append(byte)
                position += 1
            }
        }
        throw unexpected("a quotation mark")
    }

    private mutating func escape(_ bytes: inout ByteWriter) throws(CodecError) {
        let kind = peek
        position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(kind)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourDigits()
            if (0xD800..<0xDC00).contains(code), peek == UInt8(ascii: "\\") {
                position += 1
                guard peek == UInt8(ascii: "u") else { throw unexpected("a surrogate pair") }
                position += 1
                let low = try fourDigits()
                guard (0xDC00..<0xE000).contains(low) else { throw unexpected("a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw unexpected("a surrogate pair") }
            for unit in UTF8.encode(scalar).unsafelyUnwrapped { bytes.append(unit) }
        default:
            position -= 1
            throw unexpected("an escaped character")
        }
    }

    private mutating func fourDigits() throws(CodecError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            let digit = peek
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): code = code << 4 | UInt32(digit - 0x30)
            case UInt8(ascii: "a")...UInt8(ascii: "f"): code = code << 4 | UInt32(digit - 0x57)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): code = code << 4 | UInt32(digit - 0x37)
            default: throw unexpected("four hexadecimal digits")
            }
            position += 1
        }
        return code
    }

    // MARK: - Numbers

    private mutating func number(_ bytes: inout ByteWriter) throws(CodecError) {
        let start = position
        let isNegative = peek == UInt8(ascii: "-")
        if isNegative { position &+= 1 }
        var digits: UInt64 = 0
        var isExact = true
        let whole = position
        isExact = takeDigits(&digits) && isExact
        guard position > whole else { throw unexpected("a digit") }
        guard position == whole + 1 || text[whole] != UInt8(ascii: "0") else {
            throw .malformed(offset: whole, reason: "a number that begins with 0 stands")
        }
        let isInteger = peek != UInt8(ascii: ".") && peek | 0x20 != UInt8(ascii: "e")
        if isInteger, isExact, !(isNegative && digits == 0) {
            bytes.appendHead(isNegative ? .negative : .unsigned, isNegative ? digits - 1 : digits)
            return
        }
        var exponent = 0
        if peek == UInt8(ascii: ".") {
            position &+= 1
            let fraction = position
            isExact = takeDigits(&digits) && isExact
            guard position > fraction else { throw unexpected("a digit") }
            exponent = fraction - position
        }
        if peek | 0x20 == UInt8(ascii: "e") {
            position &+= 1
            let isDown = peek == UInt8(ascii: "-")
            if isDown || peek == UInt8(ascii: "+") { position &+= 1 }
            var shift: UInt64 = 0
            let first = position
            let fits = takeDigits(&shift)
            guard position > first else { throw unexpected("a digit") }
            let bounded = fits ? Int(min(shift, 1_000_000)) : 1_000_000
            exponent += isDown ? -bounded : bounded
        }
        var value = 0.0
        if isExact, digits < 1 << 53, abs(exponent) <= 22 {
            // Both are exact, so one rounding gives the nearest number (Clinger, 1990).
            let power = Self.powers[abs(exponent)]
            value = exponent < 0 ? Double(digits) / power : Double(digits) * power
            if isNegative { value = -value }
        } else {
            value = Double(String(decoding: run(start..<position), as: UTF8.self)) ?? .infinity
        }
        guard value.isFinite else {
            throw .malformed(offset: start, reason: "a number beyond the range of Double stands")
        }
        bytes.appendDouble(value)
    }

    private static let powers: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
        1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ]

    /// Adds the digits that follow to `value`.
    /// - Returns: false if they do not fit; they are passed over all the same.
    @inline(__always)
    private mutating func takeDigits(_ value: inout UInt64) -> Bool {
        var fits = true
        while position < text.count, text[position] &- 0x30 < 10 {
            let (tens, tooMany) = value.multipliedReportingOverflow(by: 10)
            let (sum, tooMuch) = tens.addingReportingOverflow(UInt64(text[position] &- 0x30))
            if tooMany || tooMuch { fits = false } else { value = sum }
            position &+= 1
        }
        return fits
    }

    // MARK: - Characters

    /// The next character; 0, which no value contains, at the end.
    @inline(__always)
    private var peek: UInt8 { position < text.count ? text[position] : 0 }

    @inline(__always)
    private mutating func skipSpace() {
        while position < text.count {
            switch text[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position &+= 1
            default: return
            }
        }
    }

    private func run(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: text[range]))
    }

    private func unexpected(_ wanted: String) -> CodecError {
        .malformed(offset: min(position, text.count), reason: "\(wanted) is expected")
    }
}
