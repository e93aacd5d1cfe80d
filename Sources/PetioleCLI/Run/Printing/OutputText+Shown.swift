import Petiole

extension OutputText {
    /// An output on its way to where it is printed, piece by piece: a tag before each line, and what could steer a terminal
    /// written out.
    struct Shown: Sendable {
        let tag: [UInt8]?
        /// Whether it goes to a terminal.
        let escapes: Bool
        private var isLineStart = true
        /// The beginning of a character whose end is in the next piece.
        private var begun: [UInt8] = []

        init(tag: [UInt8]?, escapes: Bool) {
            self.tag = tag.map { escapes ? Self.escaped($0) : $0 }
            self.escapes = escapes
        }

        /// What is printed for the next piece.
        mutating func take(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
            guard escapes else { return tagged(bytes) }
            var piece = begun
            piece.append(contentsOf: bytes)
            let whole = piece.count - Self.unfinished(piece)
            begun = Array(piece[whole...])
            return tagged(Self.escaped(piece[..<whole]))
        }

        /// What is printed behind the last piece.
        mutating func finish() -> [UInt8] {
            defer { begun = [] }
            return begun.isEmpty ? [] : tagged(Self.escaped(begun))
        }

        private mutating func tagged(_ bytes: some Collection<UInt8>) -> [UInt8] {
            guard let tag else { return Array(bytes) }
            var text: [UInt8] = []
            text.reserveCapacity(bytes.count + tag.count)
            for byte in bytes {
                if isLineStart { text += tag }
                isLineStart = byte == UInt8(ascii: "\n")
                text.append(byte)
            }
            return text
        }

        /// All but lines and tabs as ``visible(_:)`` has it.
        private static func escaped(_ bytes: some Collection<UInt8>) -> [UInt8] {
            if bytes.allSatisfy({ (32..<127).contains($0) || $0 == 9 || $0 == 10 }) {
                return Array(bytes)
            }
            var text = ""
            for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
                if scalar == "\n" || scalar == "\t" {
                    text.unicodeScalars.append(scalar)
                } else {
                    text += visible(String(scalar))
                }
            }
            return Array(text.utf8)
        }

        /// How many bytes at the end begin a character and do not end it.
        private static func unfinished(_ bytes: [UInt8]) -> Int {
            for count in 1...3 where count <= bytes.count {
                let byte = bytes[bytes.count - count]
                if byte & 0xC0 == 0x80 { continue }
                let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
                return length > count ? count : 0
            }
            return 0
        }
    }
}
