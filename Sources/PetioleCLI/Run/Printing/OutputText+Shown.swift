import Petiole

extension OutputText {
    /// An output on its way to where it is printed, piece by piece: a tag before each line, and what could steer a terminal
    /// written out.
    struct Shown: Sendable {
        let tag: [UInt8]?
        /// Whether it goes to a terminal.
        let escapes: Bool
        private var isLineStart = true
        private var shown = ShownBytes()

        init(tag: [UInt8]?, escapes: Bool) {
            self.tag = tag.map { escapes ? Array(ShownBytes.whole($0).utf8) : $0 }
            self.escapes = escapes
        }

        /// What is printed for the next piece.
        mutating func take(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
            escapes ? tagged(shown.take(bytes).utf8) : tagged(bytes)
        }

        /// What is printed behind the last piece.
        mutating func finish() -> [UInt8] { escapes ? tagged(shown.end().utf8) : [] }

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
    }
}
