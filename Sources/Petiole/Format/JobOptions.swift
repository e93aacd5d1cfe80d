import PetioleStorage

/// What a job was told when it was enqueued and that is asked for seldom: it lies before the extras, and only the jobs that
/// have some pay for it.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 2 | length of what follows |
/// | 2 | | fields: a tag (1), a length (2), so many bytes |
///
/// A field whose tag is unknown is passed over.
struct JobOptions: Equatable, Sendable {
    /// Not before this; 0: at once.
    var due: StoreTime = 0
    /// Not after this; 0: whenever.
    var expiry: StoreTime = 0
    /// The job that enqueued this one with its outcome; 0: none did.
    var parent: UInt64 = 0
    /// The job at the beginning of that lineage; 0: none.
    var root: UInt64 = 0
    /// The key that it holds alone.
    var unique: UniqueHold?
    var metadata: JobMetadata?
    /// Its own time limit, in place of its type's.
    var timeLimit: TimeLimit?
    /// The key that its type's limits per key are about.
    var limitKey: String?
    /// For how long its result is kept after its end, in microseconds; 0: as long as the store keeps what has ended.
    var resultRetention: Int64 = 0
    /// Bytes that its result may have; nil: its type's.
    var resultLimit: Int?
    /// The workflow that it is a part of.
    var workflow: WorkflowMember?
    /// The planned time of a schedule that it was enqueued for.
    var planned: PlannedRun?
    /// The job of another store that it was imported as.
    var origin: JobOrigin?

    private enum Tag {
        static let due: UInt8 = 1
        static let expiry: UInt8 = 2
        static let parent: UInt8 = 3
        static let root: UInt8 = 4
        static let unique: UInt8 = 5
        static let tag: UInt8 = 6
        static let header: UInt8 = 7
        static let timeLimit: UInt8 = 8
        static let limitKey: UInt8 = 20
        static let resultRetention: UInt8 = 30
        static let resultLimit: UInt8 = 31
        static let workflow: UInt8 = 40
        static let planned: UInt8 = 50
        static let origin = JobOrigin.tag
    }

    init() {}

    var isEmpty: Bool { self == JobOptions() }
    var hasTimes: Bool { due != 0 || expiry != 0 }

    /// Reads the fields, without the length before them.
    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        var at = 0
        while at < bytes.count {
            guard bytes.count - at >= 3 else { throw FormatError("a job's options are cut short") }
            let tag = bytes[at]
            let length = Int(bytes.littleEndian(at: at + 1, as: UInt16.self))
            at += 3
            guard bytes.count - at >= length else {
                throw FormatError("a job's options are cut short")
            }
            let value = UnsafeRawBufferPointer(rebasing: bytes[at..<at + length])
            switch tag {
            case Tag.due where length == 8:
                due = StoreTime(rawValue: value.littleEndian(at: 0))
            case Tag.expiry where length == 8:
                expiry = StoreTime(rawValue: value.littleEndian(at: 0))
            case Tag.parent where length == 8: parent = value.littleEndian(at: 0)
            case Tag.root where length == 8: root = value.littleEndian(at: 0)
            case Tag.unique: unique = UniqueHold(value)
            case Tag.timeLimit where length == 16:
                func duration(at offset: Int) -> Duration? {
                    let microseconds: Int64 = value.littleEndian(at: offset)
                    return microseconds > 0 ? .microseconds(microseconds) : nil
                }
                timeLimit = TimeLimit(soft: duration(at: 0), hard: duration(at: 8))
            case Tag.resultRetention where length == 8:
                resultRetention = max(0, value.littleEndian(at: 0))
            case Tag.resultLimit where length == 8:
                resultLimit = Int(clamping: value.littleEndian(at: 0, as: UInt64.self))
            case Tag.workflow: workflow = WorkflowMember(value)
            case Tag.planned: planned = PlannedRun(value)
            case Tag.origin where length == JobOrigin.size: origin = JobOrigin(value)
            case Tag.limitKey: limitKey = String(decoding: value, as: UTF8.self)
            case Tag.tag:
                metadata = metadata ?? JobMetadata()
                metadata!.tags.append(String(decoding: value, as: UTF8.self))
            case Tag.header where length >= 1 && length > Int(value[0]):
                metadata = metadata ?? JobMetadata()
                let name = String(decoding: value[1..<1 + Int(value[0])], as: UTF8.self)
                metadata!.headers[name] = String(
                    decoding: value[(1 + Int(value[0]))...], as: UTF8.self)
            default: break
            }
            at += length
        }
    }

    /// The limit key alone, for who looks at many jobs.
    static func limitKey(
        in fields: UnsafeRawBufferPointer
    ) throws(FormatError) -> UnsafeRawBufferPointer? {
        var at = 0
        while fields.count - at >= 3 {
            let length = Int(fields.littleEndian(at: at + 1, as: UInt16.self))
            guard fields.count - at - 3 >= length else {
                throw FormatError("a job's options are cut short")
            }
            if fields[at] == Tag.limitKey {
                return UnsafeRawBufferPointer(rebasing: fields[at + 3..<at + 3 + length])
            }
            at += 3 + length
        }
        return nil
    }

    /// The fields with their length; nothing at all when there are none.
    var bytes: [UInt8] {
        if isEmpty { return [] }
        var fields = ByteWriter(capacity: 64)
        func add<Number: FixedWidthInteger>(
            _ tag: UInt8, _ number: Number, to fields: inout ByteWriter
        ) {
            guard number != 0 else { return }
            fields.append(littleEndian: tag)
            fields.append(littleEndian: UInt16(8))
            fields.append(littleEndian: number)
        }
        add(Tag.due, due.rawValue, to: &fields)
        add(Tag.expiry, expiry.rawValue, to: &fields)
        add(Tag.parent, parent, to: &fields)
        add(Tag.root, root, to: &fields)
        add(Tag.resultRetention, resultRetention, to: &fields)
        if let resultLimit {
            fields.append(littleEndian: Tag.resultLimit)
            fields.append(littleEndian: UInt16(8))
            fields.append(littleEndian: UInt64(resultLimit))
        }
        if let workflow {
            fields.append(littleEndian: Tag.workflow)
            fields.append(littleEndian: UInt16(WorkflowMember.size))
            workflow.write(to: &fields)
        }
        if let planned {
            let bytes = planned.bytes
            fields.append(littleEndian: Tag.planned)
            fields.append(littleEndian: UInt16(bytes.count))
            bytes.withUnsafeBytes { fields.append(contentsOf: $0) }
        }
        origin?.append(to: &fields)
        if let unique {
            let bytes = unique.bytes
            fields.append(littleEndian: Tag.unique)
            fields.append(littleEndian: UInt16(bytes.count))
            bytes.withUnsafeBytes { fields.append(contentsOf: $0) }
        }
        if let timeLimit {
            fields.append(littleEndian: Tag.timeLimit)
            fields.append(littleEndian: UInt16(16))
            for limit in [timeLimit.soft, timeLimit.hard] {
                fields.append(littleEndian: limit.map { RetryPolicy.microseconds($0) } ?? 0)
            }
        }
        if let limitKey {
            let bytes = Array(limitKey.utf8)
            fields.append(littleEndian: Tag.limitKey)
            fields.append(littleEndian: UInt16(bytes.count))
            bytes.withUnsafeBytes { fields.append(contentsOf: $0) }
        }
        for tag in metadata?.tags ?? [] {
            fields.append(littleEndian: Tag.tag)
            fields.append(littleEndian: UInt16(tag.utf8.count))
            Array(tag.utf8).withUnsafeBytes { fields.append(contentsOf: $0) }
        }
        // In one order, so that equal options are equal bytes.
        for (name, value) in (metadata?.headers ?? [:]).sorted(by: { $0.key < $1.key }) {
            fields.append(littleEndian: Tag.header)
            fields.append(littleEndian: UInt16(1 + name.utf8.count + value.utf8.count))
            fields.append(littleEndian: UInt8(name.utf8.count))
            Array((name + value).utf8).withUnsafeBytes { fields.append(contentsOf: $0) }
        }
        var all = ByteWriter(capacity: fields.count + 2)
        all.append(littleEndian: UInt16(fields.count))
        fields.withBytes { all.append(contentsOf: $0) }
        return all.withBytes { Array($0) }
    }

    /// Writes fields that many jobs share, and those that one of them says for itself behind them.
    /// - Parameters:
    ///   - shared: as ``bytes`` gives them.
    ///   - hold: that of `own`.
    static func append(
        _ shared: [UInt8], _ own: OwnOptions, _ hold: UniqueHold?, to writer: inout ByteWriter
    ) {
        if own.isEmpty { return shared.withUnsafeBytes { writer.append(contentsOf: $0) } }
        let start = writer.count
        writer.append(littleEndian: UInt16(0))
        shared.withUnsafeBytes {
            if $0.count > 2 {
                writer.append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[2...]))
            }
        }
        func add(_ tag: UInt8, _ hold: UniqueHold?, _ text: String) {
            var text = text
            text.withUTF8 { text in
                writer.append(littleEndian: tag)
                writer.append(
                    littleEndian: UInt16(text.count + (hold == nil ? 0 : UniqueHold.headSize)))
                hold?.writeHead(to: &writer)
                writer.append(contentsOf: UnsafeRawBufferPointer(text))
            }
        }
        if let rule = own.unique { add(Tag.unique, hold, rule.key) }
        if let key = own.limitKey { add(Tag.limitKey, nil, key) }
        own.origin?.append(to: &writer)
        let length = writer.count - start - 2
        UnsafeMutableRawPointer(writer.base + start)
            .storeBytes(of: UInt16(length).littleEndian, as: UInt16.self)
    }
}

/// What one of many jobs that are enqueued together says for itself.
struct OwnOptions {
    var limitKey: String?
    var unique: Uniqueness?
    var origin: JobOrigin?

    var isEmpty: Bool { limitKey == nil && unique == nil && origin == nil }

    /// Without the key, which lies in `unique`.
    var hold: UniqueHold? { unique.map { UniqueHold(head: $0) } }

    /// What is wrong with them, and what is allowed; nil: nothing.
    var problemAmongMany: String? {
        if let limitKey, let problem = JobLimits.problem(ofKey: limitKey) { return problem }
        guard let unique else { return nil }
        if unique.onConflict == .replace {
            return
                "none of many at once replaces another; enqueue it alone, or let the other be given back or refuse"
        }
        return unique.problem
    }
}
