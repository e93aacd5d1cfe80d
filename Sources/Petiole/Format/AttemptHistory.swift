import PetioleStorage

/// How a failure lies in an outcome's result, and in a history: type and message, cut to a bound.
struct FailureRecord: Equatable, Sendable {
    var type: String
    var message: String
    /// Within the bounds; what is not is only on its way to where secrets are taken out of it.
    private var isCut = true

    /// 8 KiB of a message are kept; what is cut off is said at its end.
    static let messageLimit = 8 << 10
    static let typeLimit = 256
    /// 64 MiB until secrets are taken out: what a child brings to its runner is bounded.
    private static let wholeLimit = 64 << 20

    init(type: String, message: String) {
        self.type = Self.cut(type, to: Self.typeLimit)
        self.message = Self.cut(message, to: Self.messageLimit)
    }

    private init(whole type: String, _ message: String) {
        self.type = type
        self.message = Self.cut(message, to: Self.wholeLimit)
        isCut = false
    }

    /// One that is not cut yet.
    static func whole(type: String, message: String) -> FailureRecord {
        FailureRecord(whole: type, message)
    }

    /// The same within the bounds.
    var cut: FailureRecord { isCut ? self : FailureRecord(type: type, message: message) }

    static func == (one: FailureRecord, other: FailureRecord) -> Bool {
        one.type == other.type && one.message == other.message
    }

    private static func cut(_ text: String, to limit: Int) -> String {
        guard text.utf8.count > limit else { return text }
        let kept = String(decoding: text.utf8.prefix(limit), as: UTF8.self)
        return "\(kept)… (\(text.utf8.count - limit) bytes more)"
    }

    func write(to writer: inout ByteWriter) {
        guard isCut else { return cut.write(to: &writer) }
        writer.append(littleEndian: UInt16(type.utf8.count))
        writer.append(littleEndian: UInt16(message.utf8.count))
        var text = type + message
        text.withUTF8 { writer.append(contentsOf: UnsafeRawBufferPointer($0)) }
    }

    /// Writes it as long as it is, for another process.
    func writeWhole(to writer: inout ByteWriter) {
        writer.append(littleEndian: UInt32(type.utf8.count))
        writer.append(littleEndian: UInt32(message.utf8.count))
        var text = type + message
        text.withUTF8 { writer.append(contentsOf: UnsafeRawBufferPointer($0)) }
    }

    /// Reads what that has written, which is all of the bytes; nil when it is not.
    static func readWhole(_ bytes: UnsafeRawBufferPointer) -> FailureRecord? {
        guard bytes.count >= 8 else { return nil }
        let end = 8 + Int(bytes.littleEndian(at: 0, as: UInt32.self))
        guard end + Int(bytes.littleEndian(at: 4, as: UInt32.self)) == bytes.count else {
            return nil
        }
        return .whole(
            type: String(decoding: bytes[8..<end], as: UTF8.self),
            message: String(decoding: bytes[end...], as: UTF8.self))
    }

    /// Reads a failure at the start of the bytes; also says how long it was.
    static func read(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> (FailureRecord, Int) {
        guard bytes.count >= 4 else { throw FormatError("a failure is cut short") }
        let typeLength = Int(bytes.littleEndian(at: 0, as: UInt16.self))
        let end = 4 + typeLength + Int(bytes.littleEndian(at: 2, as: UInt16.self))
        guard end <= bytes.count else { throw FormatError("a failure is cut short") }
        var failure = FailureRecord(type: "", message: "")
        failure.type = String(decoding: bytes[4..<(4 + typeLength)], as: UTF8.self)
        failure.message = String(decoding: bytes[(4 + typeLength)..<end], as: UTF8.self)
        return (failure, end)
    }
}

/// Failed attempts that another attempt followed, oldest first, each with its times and error.
enum AttemptHistory {
    /// The newest 16 are kept, and their number says how many came before.
    static let limit = 16
    /// In place of the length of a failure's type: it is the same as that of the item before.
    private static let sameAsBefore: UInt16 = .max

    struct Item: Equatable, Sendable {
        var attempt: Int
        var startedAt: Int64
        var runMicroseconds: Int64
        var failure: FailureRecord
    }

    static func appending(_ item: Item, to history: [UInt8]) -> [UInt8] {
        var items = (try? read(history)) ?? []  // A history that cannot be read is not passed on.
        items.append(item)
        if items.count > limit { items.removeFirst(items.count - limit) }
        var writer = ByteWriter(capacity: history.count + 128)
        var before: FailureRecord?
        for item in items {
            writer.append(littleEndian: UInt16(clamping: item.attempt))
            writer.append(littleEndian: item.startedAt)
            writer.append(littleEndian: item.runMicroseconds)
            if item.failure == before {
                writer.append(littleEndian: sameAsBefore)
            } else {
                item.failure.write(to: &writer)
            }
            before = item.failure
        }
        return writer.withBytes { Array($0) }
    }

    static func read(_ bytes: [UInt8]) throws(FormatError) -> [Item] {
        var result: Result<[Item], FormatError> = .success([])
        bytes.withUnsafeBytes { bytes in
            do throws(FormatError) { result = .success(try read(bytes)) } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    static func read(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> [Item] {
        var items: [Item] = []
        var at = 0
        while at < bytes.count {
            guard bytes.count - at >= 20 else { throw FormatError("a history is cut short") }
            let failure: FailureRecord
            let length: Int
            if bytes.littleEndian(at: at + 18, as: UInt16.self) == sameAsBefore {
                guard let before = items.last?.failure else {
                    throw FormatError("a history begins with what was before")
                }
                (failure, length) = (before, 2)
            } else {
                (failure, length) = try FailureRecord.read(
                    UnsafeRawBufferPointer(rebasing: bytes[(at + 18)...]))
            }
            items.append(
                Item(
                    attempt: Int(bytes.littleEndian(at: at, as: UInt16.self)),
                    startedAt: bytes.littleEndian(at: at + 2),
                    runMicroseconds: bytes.littleEndian(at: at + 10), failure: failure))
            at += 18 + length
        }
        return items
    }
}
