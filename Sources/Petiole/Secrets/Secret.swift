/// A value that is not to be shown: a password, a token, a name.
///
/// As a property wrapper or as it is, in a payload or a result. What is written of it is marked, as `{"$secret": …}`, and by that mark
/// whoever shows payloads without knowing their types shows `‹secret›` instead; errors of the codec do not say what is in it; and
/// so do its descriptions. Texts of failures in which it stands as text are recorded without it: texts of four bytes or more in it,
/// as they are, and whole numbers of four digits or more. Fractions, instants and bytes are not found.
///
/// ```swift
/// struct Login: Job {
///     var user: String
///     @Secret var password: String
///     …
/// }
/// ```
///
/// It is not encrypted by this alone. An unmarked value is read as well, so that a field may become secret; a field that is not secret
/// any more cannot read what was marked.
@propertyWrapper
public struct Secret<Value: Codable & Sendable>: Codable, Sendable {
    /// What is kept secret.
    public var wrappedValue: Value

    /// Keeps a value secret.
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
    /// Keeps a value secret.
    public init(_ value: Value) { wrappedValue = value }

    private enum Mark: String, CodingKey {
        case secret = "$secret"
    }

    /// Writes the value and its mark.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Mark.self)
        try container.encode(wrappedValue, forKey: .secret)
    }

    /// Reads a value, marked or not. An error says where it is, and not what.
    public init(from decoder: any Decoder) throws {
        do {
            // What is no map is a value without a mark.
            if let marked = try? decoder.container(keyedBy: Mark.self), marked.contains(.secret) {
                wrappedValue = try marked.decode(Value.self, forKey: .secret)
            } else {
                wrappedValue = try decoder.singleValueContainer().decode(Value.self)
            }
        } catch {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: decoder.codingPath,
                    debugDescription: "what is secret is not a \(Value.self)"))
        }
    }
}

extension Secret: Equatable where Value: Equatable {}
extension Secret: Hashable where Value: Hashable {}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// `‹secret›`.
    public var description: String { SecretMark.shown }
    /// `‹secret›`.
    public var debugDescription: String { SecretMark.shown }
    /// Shows nothing of the value.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// How secrets are marked in payloads: a map of one member with this key.
enum SecretMark {
    static let key = "$secret"
    static let shown = "‹secret›"

    /// Whether a map is such a mark, and where the secret begins.
    static func value(
        _ items: CompactItems, _ head: CompactItems.Head
    ) -> Int? {
        guard head.kind == .map, head.argument == 1 else { return nil }
        let name = items.string(at: head.end)
        guard name.count == key.utf8.count, name.elementsEqual(key.utf8) else { return nil }
        return items.end(of: head.end)
    }

    /// Whether bytes may hold a mark: they hold its key as text.
    static func mayBe(in bytes: UnsafeRawBufferPointer) -> Bool {
        let wanted = Array(key.utf8)
        guard bytes.count >= wanted.count else { return false }
        for start in 0...(bytes.count - wanted.count) where bytes[start] == wanted[0] {
            if wanted.indices.allSatisfy({ bytes[start + $0] == wanted[$0] }) { return true }
        }
        return false
    }
}
