import Foundation

@testable import Petiole

/// The bytes that a codec makes of a value.
func encoded<Value: Encodable>(
    _ value: Value, _ codec: PayloadCodec = .compact
) throws(CodecError) -> [UInt8] {
    var bytes = ByteWriter()
    try codec.encode(value, into: &bytes)
    return bytes.withBytes { Array($0) }
}

func decoded<Value: Decodable>(
    _ type: Value.Type, _ bytes: [UInt8], _ codec: PayloadCodec = .compact
) throws(CodecError) -> Value {
    try lent(bytes) { (bytes) throws(CodecError) in try codec.decode(type, from: bytes) }
}

func shown(_ bytes: [UInt8], maximumBytes: Int = 1 << 20) throws(CodecError) -> String {
    try lent(bytes) { (bytes) throws(CodecError) in
        try compactToJSON(bytes, maximumBytes: maximumBytes)
    }
}

func compact(json text: String) throws(CodecError) -> [UInt8] {
    var bytes = ByteWriter()
    try lent(Array(text.utf8)) { (text) throws(CodecError) in
        try jsonToCompact(text, into: &bytes)
    }
    return bytes.withBytes { Array($0) }
}

/// Lends exactly these bytes, in an allocation of their size, so that a read past the end is one
/// past the allocation's.
func lent<Value>(
    _ bytes: [UInt8], _ read: (UnsafeRawBufferPointer) throws(CodecError) -> Value
) throws(CodecError) -> Value {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    return try read(UnsafeRawBufferPointer(copy))
}

func bytes(hex: String) -> [UInt8] {
    let digits = hex.utf8.map { UInt8($0 > 0x60 ? $0 - 0x57 : $0 - 0x30) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// What Foundation's JSON makes of a value and back: the reference.
func throughFoundation<Value: Codable>(_ value: Value) throws -> Value {
    try JSONDecoder().decode(Value.self, from: JSONEncoder().encode(value))
}

struct Thumbnail: Codable, Equatable {
    var id: Int
    var name: String
    var scale: Double
    var isUrgent: Bool
    var path: String

    static let example = Thumbnail(
        id: 123_456, name: "resize", scale: 0.1, isUrgent: true, path: "/images/0001.jpeg")
}

/// Any shape that JSON can have.
enum Shape: Codable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case array([Shape])
    case object([String: Shape])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {  // Tries one form after another.
            self = .bool(bool)
        } else if let integer = try? value.decode(Int.self) {  // As above.
            self = .integer(integer)
        } else if let number = try? value.decode(Double.self) {  // As above.
            self = .number(number)
        } else if let text = try? value.decode(String.self) {  // As above.
            self = .text(text)
        } else if let array = try? value.decode([Shape].self) {  // As above.
            self = .array(array)
        } else {
            self = .object(try value.decode([String: Shape].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let bool): try value.encode(bool)
        case .integer(let integer): try value.encode(integer)
        case .number(let number): try value.encode(number)
        case .text(let text): try value.encode(text)
        case .array(let array): try value.encode(array)
        case .object(let object): try value.encode(object)
        }
    }

    /// A shape drawn from `source`, at most `depth` containers deep.
    static func drawn(_ source: inout SplitMix, depth: Int) -> Shape {
        switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &source) {
        case 0: return .null
        case 1: return .bool(.random(using: &source))
        case 2:
            let shift = Int.random(in: 0..<64, using: &source)
            return .integer(.random(in: .min ... .max, using: &source) >> shift)
        case 3:
            // Halves, so that no number is whole and read back as an integer.
            return .number(Double(Int.random(in: -1_000_000...1_000_000, using: &source)) + 0.5)
        case 4: return .text(text(&source))
        case 5:
            return .array(
                (0..<Int.random(in: 0...30, using: &source)).map { _ in
                    drawn(&source, depth: depth - 1)
                })
        default:
            var object: [String: Shape] = [:]
            for _ in 0..<Int.random(in: 0...30, using: &source) {
                object[text(&source)] = drawn(&source, depth: depth - 1)
            }
            return .object(object)
        }
    }

    private static func text(_ source: inout SplitMix) -> String {
        let alphabet = Array("abcdefghij \"\\/\n\t\u{1}\u{7F}\u{85}äß漢😀\u{2028}\u{202E}")
        return String(
            (0..<Int.random(in: 0...40, using: &source)).map { _ in
                alphabet.randomElement(using: &source) ?? "a"
            })
    }
}

/// Random numbers that are the same in each run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
