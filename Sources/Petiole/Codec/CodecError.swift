/// Why a payload could not be written or read. Names the field, never shows what it holds.
///
/// A `path` reads like `items[3].name`; it is empty for the value as a whole. Keys of dictionaries
/// are part of it, cut to 64 characters.
public enum CodecError: Error, Sendable, Equatable {
    /// The type asks for a field that the payload does not have.
    case missing(path: String)
    /// The payload has something else at `path` than the type asks for.
    case mismatch(path: String, expected: String, found: String)
    /// The number at `path` does not fit the type.
    case outOfRange(path: String, type: String)
    /// The type's own coding refused what it found at `path`; `reason` names a type, not a value.
    case refused(path: String, reason: String)
    /// The bytes are not what the codec writes; `offset` is where that shows.
    case malformed(offset: Int, reason: String)
    /// The codec has no form for this value.
    case unsupported(path: String, reason: String)
    /// Containers lie deeper in one another than the limit.
    case tooDeep(limit: Int)
    /// The payload, or the text made of it, is longer than the limit in bytes.
    case tooLarge(limit: Int)
}

extension CodecError: CustomStringConvertible {
    /// What is wrong and where; never what the payload holds.
    public var description: String {
        switch self {
        case .missing(let path):
            "cannot read the payload: \(Self.place(path)) is missing"
        case .mismatch(let path, let expected, let found):
            "cannot read the payload: \(Self.place(path)) should be \(expected), but is \(found)"
        case .outOfRange(let path, let type):
            "cannot read the payload: the number at \(Self.place(path)) does not fit \(type)"
        case .refused(let path, let reason):
            "the payload is not acceptable at \(Self.place(path)): \(reason)"
        case .malformed(let offset, let reason):
            "cannot read the payload: \(reason) at byte \(offset)"
        case .unsupported(let path, let reason):
            "the codec cannot carry \(Self.place(path)): \(reason)"
        case .tooDeep(let limit):
            "the payload is nested deeper than \(limit) containers"
        case .tooLarge(let limit):
            "the payload is longer than \(limit) bytes"
        }
    }

    private static func place(_ path: String) -> String {
        path.isEmpty ? "the value" : "\"\(path)\""
    }
}

extension CodecError {
    /// Makes a path of coding keys. Control characters are left out: the path goes to terminals.
    static func path(_ keys: [any CodingKey]) -> String {
        var path = ""
        for key in keys {
            // What is in a secret is not shown, nor are its keys.
            if key.stringValue == SecretMark.key { break }
            if let index = key.intValue, key is CodecKey {
                path += "[\(index)]"
            } else {
                if !path.isEmpty { path += "." }
                let shown = key.stringValue.unicodeScalars.lazy.filter {
                    switch $0.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator: false
                    default: true
                    }
                }
                path.unicodeScalars.append(contentsOf: shown.prefix(64))
            }
        }
        return path
    }

    /// Translates what `Codable` code threw. Texts of others may quote values, so only the names of
    /// types and keys are taken from them.
    static func translate(_ error: any Error, path fallback: @autoclosure () -> String)
        -> CodecError
    {
        switch error {
        case let error as CodecError:
            return error
        case DecodingError.keyNotFound(let key, let context):
            return ours(context.underlyingError)
                ?? .missing(path: path(context.codingPath + [key]))
        case DecodingError.valueNotFound(let type, let context):
            return ours(context.underlyingError)
                ?? .mismatch(
                    path: path(context.codingPath), expected: "\(type)", found: "null")
        case DecodingError.typeMismatch(let type, let context):
            return ours(context.underlyingError)
                ?? .mismatch(
                    path: path(context.codingPath), expected: "\(type)", found: "something else")
        case DecodingError.dataCorrupted(let context):
            return ours(context.underlyingError)
                ?? .refused(
                    path: path(context.codingPath),
                    reason: "the type cannot be made of what is there"
                )
        case EncodingError.invalidValue(let value, let context):
            return ours(context.underlyingError)
                ?? .unsupported(
                    path: path(context.codingPath),
                    reason: "\(type(of: value)) could not be encoded")
        default:
            return .refused(path: fallback(), reason: "it threw \(type(of: error))")
        }
    }

    private static func ours(_ error: (any Error)?) -> CodecError? { error as? CodecError }
}

/// A key made at run time: the name of a field, or the place in an array.
struct CodecKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }

    init(intValue: Int) {
        stringValue = "Index \(intValue)"
        self.intValue = intValue
    }

    static let superKey = CodecKey(stringValue: "super")
}
