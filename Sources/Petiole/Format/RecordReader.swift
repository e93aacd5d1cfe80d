import PetioleStorage

/// Reads a record from front to end; never beyond it.
struct RecordReader {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    private let what: String

    /// - Parameter what: what is said to be cut short when it is.
    init(_ bytes: UnsafeRawBufferPointer, _ what: String) {
        self.bytes = bytes
        self.what = what
    }

    mutating func bytes(_ count: some FixedWidthInteger) throws(FormatError)
        -> UnsafeRawBufferPointer
    {
        guard let count = Int(exactly: count), count <= bytes.count - at else {
            throw FormatError("\(what) is cut short")
        }
        defer { at += count }
        return UnsafeRawBufferPointer(rebasing: bytes[at..<at + count])
    }

    /// Little-endian.
    mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type = Number.self
    ) throws(FormatError) -> Number {
        try bytes(MemoryLayout<Number>.size).littleEndian(at: 0)
    }

    /// Behind its length in two bytes.
    mutating func text() throws(FormatError) -> String {
        String(decoding: try bytes(try number(UInt16.self)), as: UTF8.self)
    }
}

extension ByteWriter {
    /// A text of no more than 65,535 bytes behind its length in two.
    mutating func append(text: String) {
        var text = text
        text.withUTF8 { bytes in
            append(littleEndian: UInt16(bytes.count))
            append(contentsOf: UnsafeRawBufferPointer(bytes))
        }
    }
}
