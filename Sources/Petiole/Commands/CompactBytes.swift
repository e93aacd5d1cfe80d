/// Appends numbers and byte strings to a compact form: numbers seven bits a byte, the lowest first
/// (LEB128), strings as their length and their bytes.
struct CompactWriter {
    private(set) var bytes: [UInt8] = []

    init() {}

    /// Goes on behind bytes that are there, and takes them over until ``giveBack(_:)``: nothing is copied.
    init(behind bytes: inout [UInt8]) { swap(&self.bytes, &bytes) }

    mutating func giveBack(_ bytes: inout [UInt8]) { swap(&self.bytes, &bytes) }

    mutating func write(_ byte: UInt8) { bytes.append(byte) }

    mutating func write(number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func write(string: [UInt8]) {
        write(number: UInt64(string.count))
        bytes.append(contentsOf: string)
    }
}

/// Reads what ``CompactWriter`` wrote. Every length is checked against what is there before
/// anything is allocated for it.
struct CompactReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    mutating func byte() throws(CompactFault) -> UInt8 {
        guard position < bytes.count else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    /// One way to write each number: a form longer than needed is refused.
    mutating func number() throws(CompactFault) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let next = try byte()
            let part = UInt64(next & 0x7F)
            guard shift < 63 || (shift == 63 && part <= 1) else { throw .malformed }
            value |= part << shift
            if next & 0x80 == 0 {
                guard next != 0 || shift == 0 else { throw .malformed }
                return value
            }
            shift += 7
        }
    }

    mutating func string() throws(CompactFault) -> [UInt8] {
        let length = try number()
        guard length <= UInt64(remaining) else { throw .truncated }
        defer { position += Int(length) }
        return Array(bytes[position..<position + Int(length)])
    }

    /// The count of elements of which each takes at least a byte.
    mutating func count(atMost bound: Int) throws(CompactFault) -> Int {
        let count = try number()
        guard count <= UInt64(remaining) else { throw .truncated }
        guard count <= UInt64(bound) else { throw .malformed }
        return Int(count)
    }

    func finish() throws(CompactFault) {
        guard remaining == 0 else { throw .malformed }
    }
}

/// Why bytes are not what they should be.
package enum CompactFault: Error, Equatable, CustomStringConvertible {
    case truncated
    case malformed
    case unknownVersion(UInt8)
    case invalid(InvalidCommand)

    package var description: String {
        switch self {
        case .truncated: "the bytes end too early"
        case .malformed: "the bytes are not a form that is known here"
        case .unknownVersion(let version):
            "the form has version \(version), which is not known here"
        case .invalid(let reason): reason.description
        }
    }
}
