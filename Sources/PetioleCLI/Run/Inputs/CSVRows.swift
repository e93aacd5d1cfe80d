import Petiole

/// Rows of comma-separated values, from a stream.
///
/// A field in double quotes may hold the separator, line ends, and `""` for a quote. Rows end with LF or CRLF; empty lines
/// are left out. A quote inside of a field that does not begin with one is text.
/// - Source: [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), section 2.
struct CSVRows {
    private var stream: ByteStream
    private let separator: UInt8
    private var parser: Parser

    init(_ stream: ByteStream, separator: UInt8) {
        self.stream = stream
        self.separator = separator
        parser = Parser(separator: separator)
    }

    var mayWait: Bool { stream.mayWait }

    /// Waits for some. Nil at the end.
    mutating func next() throws -> [[[UInt8]]]? {
        while !stream.isAtEnd {
            var parser = parser
            self.parser = Parser(separator: separator)
            try stream.read { bytes in
                for byte in bytes { try parser.take(byte) }
            }
            if stream.isAtEnd { try parser.finish() }
            let rows = parser.rows
            parser.rows = []
            self.parser = parser
            if !rows.isEmpty { return rows }
        }
        return nil
    }

    /// One row that is there whole.
    static func row(_ text: [UInt8], separator: UInt8) throws -> [[UInt8]] {
        var parser = Parser(separator: separator)
        for byte in text { try parser.take(byte) }
        try parser.finish()
        guard parser.rows.count < 2 else {
            throw Failure.usage(
                "\(Command.quoted(text)) is more than one row\ngive each row as an input of its own"
            )
        }
        return parser.rows.first ?? [[]]
    }

    private struct Parser {
        private enum State { case start, plain, quoted, quoteInQuoted, returnBehindQuoted }
        let separator: UInt8
        var rows: [[[UInt8]]] = []
        private var state = State.start
        private var field: [UInt8] = []
        private var row: [[UInt8]] = []
        private var line = 1
        /// Where the quotes were opened that are not closed.
        private var opened = 1
        private var bytes = 0
        /// Of the row that is read, and where it began.
        private var rowBytes = 0
        private var began = 1

        private static let quote = UInt8(ascii: "\"")
        private static let newline = UInt8(ascii: "\n")
        private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

        init(separator: UInt8) { self.separator = separator }

        mutating func take(_ byte: UInt8) throws {
            bytes += 1
            if byte == Self.newline { line += 1 }
            switch state {
            case .quoted:
                if byte == Self.quote { state = .quoteInQuoted } else { try append(byte) }
            case .quoteInQuoted where byte == Self.quote:
                state = .quoted
                try append(byte)
            case .start where byte == Self.quote:
                state = .quoted
                opened = line
            case .start, .plain, .quoteInQuoted, .returnBehindQuoted:
                if byte == separator {
                    endField()
                } else if byte == Self.newline {
                    endRow()
                } else if state == .quoteInQuoted, byte == UInt8(ascii: "\r") {
                    state = .returnBehindQuoted
                } else if state == .quoteInQuoted || state == .returnBehindQuoted {
                    throw Failure(
                        """
                        line \(grouped(line)) has text behind a closing quote
                        a quote inside of quotes is written twice; --colsep takes fields without quotes
                        """, status: 125)
                } else {
                    if state == .start { state = .plain }
                    if state == .plain { try append(byte) }
                }
            }
            // A mark of the byte order is no part of the first name.
            if bytes == 3, field == Self.mark { (field, state) = ([], .start) }
        }

        private mutating func append(_ byte: UInt8) throws {
            rowBytes += 1
            guard rowBytes < InputRecords.limit else {
                throw Failure(
                    """
                    the row that begins in line \(grouped(began)) has more than \(grouped(InputRecords.limit)) bytes
                    see whether the quotes that are opened in it are closed
                    """, status: 125)
            }
            field.append(byte)
        }

        private mutating func endField() {
            // A field costs something even if it is empty.
            rowBytes += 1
            row.append(field)
            field = []
            state = .start
        }

        private mutating func endRow() {
            if state == .plain, field.last == UInt8(ascii: "\r") { field.removeLast() }
            let isEmpty = row.isEmpty && field.isEmpty && (state == .plain || state == .start)
            endField()
            if !isEmpty { rows.append(row) }
            row = []
            (rowBytes, began) = (0, line)
        }

        mutating func finish() throws {
            if state == .quoted {
                throw Failure(
                    """
                    the quote that is opened in line \(grouped(opened)) is not closed
                    close it; --colsep takes fields without quotes
                    """, status: 125)
            }
            if !row.isEmpty || !field.isEmpty || state != .start { endRow() }
        }
    }
}
