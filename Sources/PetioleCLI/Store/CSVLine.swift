import Petiole

/// Rows of comma-separated values (RFC 4180), line ends CR LF: a field with a comma, a quote or a line end stands in quotes. CSV knows
/// text alone: bytes that are no UTF-8, or begin like this, stand as `base64:` and their base64.
/// - Source: [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), section 2.
enum CSVLine {
    static func text(_ fields: [String]) -> String {
        fields.map { quoted($0) }.joined(separator: ",") + "\r\n"
    }

    private static let mark = "base64:"

    /// Bytes as a field.
    static func field(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self), !text.hasPrefix(mark) {
            return text
        }
        return mark + JSONLine.base64(bytes)
    }

    private static func quoted(_ field: String) -> String {
        // By bytes: CR and LF together are one character, and so is a quote with an accent behind it.
        let isPlain = !field.utf8.contains { [0x22, 0x2C, 0x0D, 0x0A].contains($0) }
        if isPlain { return field }
        let inner = field.utf8.flatMap { $0 == 0x22 ? [0x22, 0x22] : [$0] }
        return "\"" + String(decoding: inner, as: UTF8.self) + "\""
    }
}
