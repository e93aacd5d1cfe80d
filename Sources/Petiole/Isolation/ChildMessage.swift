// What a runner and its child say to each other
//
// Two descriptors. The *channel*, the child's descriptor 3, carries requests to the child and frames back, one attempt at a
// time. The *control* pipe, its standard input, carries what may come at any moment; a thread of the child's waits on it, and
// its end is the child's end.
//
//     runner                                           child
//     starts the child                                 opens the store
//                                                      ← ready
//     request: job, attempt, slot, clocks →             finds the job in the store's map, and runs it
//                                                      ← waits (the job waits for another one's result)
//     gives its place in the pool to a spare thread
//     control: go on waiting, or refused →
//                                                      ← goes on
//     control: stop, perhaps →                         cancels the task; a context is asked
//                                                      ← succeeded | threw | stopped, with result and effects
//
// The payload is in the map already, cancels and progress are words in mapped files that both have. Each message but `ready`
// names its job, so that one that comes late is not taken for another's. Both sides are the same version of this library, or
// the first frame says that they are not.
//
// All numbers are little-endian.

/// The version of what is said, in the first frame.
enum ChildProtocol {
    static let version: Int64 = 2
    /// Set in the environment of a child: how the runner's clocks stand, a colon, the path of the store.
    static let variableName = "PETIOLE_CHILD"

    static func variable(_ clocks: ClockShift, _ path: String) -> String {
        "\(clocks.text):\(path)"
    }

    /// Nil for what is none: whoever runs this program by hand has set it.
    static func read(variable text: String) -> (clocks: ClockShift, path: String)? {
        let parts = text.split(separator: ":", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4, !parts[3].isEmpty,
            let clocks = ClockShift(parts[0..<3].joined(separator: ":"))
        else { return nil }
        return (clocks, String(parts[3]))
    }
    static let channelNumber: Int32 = 3
    /// 1 GiB: what a frame may say that it brings. Memory is taken as it comes, not as it is announced.
    static let frameLimit: UInt64 = 1 << 30
}

/// What is to be run.
struct ChildRequest: Equatable {
    var job: UInt64
    var attempt: UInt32
    /// The number of the runner's slot.
    var slot: UInt32
    /// How far the runner's clocks are from those of the machine.
    var clocks: ClockShift

    static let size = 40

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        writer.append(littleEndian: job)
        writer.append(littleEndian: attempt)
        writer.append(littleEndian: slot)
        writer.append(littleEndian: clocks.wall)
        writer.append(littleEndian: clocks.uptime)
        writer.append(littleEndian: clocks.boot)
        return writer.withBytes { Array($0) }
    }

    init(job: UInt64, attempt: UInt32, slot: UInt32, clocks: ClockShift) {
        self.job = job
        self.attempt = attempt
        self.slot = slot
        self.clocks = clocks
    }

    init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == Self.size, "a request has \(Self.size) bytes")
        job = bytes.littleEndian(at: 0)
        attempt = bytes.littleEndian(at: 8)
        slot = bytes.littleEndian(at: 12)
        clocks = ClockShift(
            wall: bytes.littleEndian(at: 16), uptime: bytes.littleEndian(at: 24),
            boot: bytes.littleEndian(at: 32))
    }
}

/// What comes over the control pipe.
struct ChildOrder: Equatable {
    enum Kind: UInt32 {
        /// Asked to stop: somebody cancels it, or its soft limit has passed. Its slot says so.
        case stop = 1
        /// The runner stops now.
        case stopAll = 2
        /// The attempt may wait for another job: its place has been given away.
        case waitOn = 3
        /// It may not: too many do.
        case doNotWait = 4
    }
    var kind: Kind
    var job: UInt64

    /// Written with one call: never broken apart.
    static let size = 16

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        writer.append(littleEndian: kind.rawValue)
        writer.append(littleEndian: UInt32(0))
        writer.append(littleEndian: job)
        return writer.withBytes { Array($0) }
    }

    init(_ kind: Kind, job: UInt64) {
        self.kind = kind
        self.job = job
    }

    /// Nil for one that is unknown here.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.size, let kind = Kind(rawValue: bytes.littleEndian(at: 0)) else {
            return nil
        }
        self.kind = kind
        job = bytes.littleEndian(at: 8)
    }
}

/// What a child says.
struct ChildFrame: Equatable {
    enum Kind: UInt8, CaseIterable {
        /// The store is open. Brings the version.
        case ready = 1
        /// It waits for another job.
        case waits = 2
        /// It waits no more.
        case goesOn = 3
        /// Brings the result, and effects.
        case succeeded = 4
        /// Brings a ``ThrownInChild``.
        case threw = 5
        /// Asked to stop, it did.
        case stopped = 6
        /// It cannot run this job, or any. Brings the reason as text.
        case cannot = 7
    }

    var kind: Kind
    /// The result's.
    var codec: UInt8 = 0
    var job: UInt64 = 0
    /// The version.
    var number: Int64 = 0
    var result: [UInt8] = []
    /// Effects, an error, or a text.
    var rest: [UInt8] = []

    static let headerSize = 40
    private static let magic: UInt32 = 0x4643_5450

    func write(to writer: inout ByteWriter) {
        writer.append(littleEndian: Self.magic)
        writer.append(kind.rawValue)
        writer.append(codec)
        writer.append(littleEndian: UInt16(0))
        writer.append(littleEndian: job)
        writer.append(littleEndian: number)
        writer.append(littleEndian: UInt64(result.count))
        writer.append(littleEndian: UInt64(rest.count))
        result.withUnsafeBytes { writer.append(contentsOf: $0) }
        rest.withUnsafeBytes { writer.append(contentsOf: $0) }
    }

    /// Reads the frame at the start of the bytes.
    /// - Returns: nil while it is not all there; else it, and its length.
    static func read(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> (ChildFrame, Int)? {
        guard bytes.count >= headerSize else { return nil }
        guard bytes.littleEndian(at: 0, as: UInt32.self) == magic,
            let kind = Kind(rawValue: bytes[4])
        else { throw FormatError("what a child process has said is no frame") }
        let resultLength: UInt64 = bytes.littleEndian(at: 24)
        let restLength: UInt64 = bytes.littleEndian(at: 32)
        guard resultLength <= ChildProtocol.frameLimit, restLength <= ChildProtocol.frameLimit
        else {
            throw FormatError("a child process has announced more than it may bring")
        }
        let middle = headerSize + Int(resultLength)
        let end = middle + Int(restLength)
        guard bytes.count >= end else { return nil }
        var frame = ChildFrame(kind: kind)
        frame.codec = bytes[5]
        frame.job = bytes.littleEndian(at: 8)
        frame.number = bytes.littleEndian(at: 16)
        frame.result = Array(bytes[headerSize..<middle])
        frame.rest = Array(bytes[middle..<end])
        return (frame, end)
    }
}

/// An error that a job threw in a child: what is recorded of it, and what its type's policy, whose code is there, makes of it.
struct ThrownInChild: Error, Equatable {
    enum Meaning: Equatable {
        /// Another attempt, if the policy allows one.
        case retry
        case retryAfter(microseconds: Int64)
        case snooze(microseconds: Int64)
        case discard
        case deadLetter
        /// The payload is none of the type's.
        case undecodable
        /// Too many jobs wait for others already.
        case tooManyWaiting

        /// What stands for it in the runner; nil: nothing but what is recorded.
        var error: (any Error)? {
            switch self {
            case .retry: nil
            case .retryAfter(let wait): JobControl.retry(after: .microseconds(wait))
            case .snooze(let wait): JobControl.snooze(for: .microseconds(wait))
            case .discard: JobControl.discard("")
            case .deadLetter: JobControl.deadLetter("")
            case .undecodable: UndecodablePayload("")
            case .tooManyWaiting: RunnerError.tooManyWaiting(limit: 0)
            }
        }
    }
    var meaning: Meaning
    var record: FailureRecord

    /// Decides in the child.
    init(_ error: any Error, _ policy: RetryPolicy) {
        record = .whole(error)
        switch error {
        case JobControl.retry(let wait):
            meaning = .retryAfter(microseconds: RetryPolicy.microseconds(wait))
        case JobControl.snooze(let wait):
            meaning = .snooze(microseconds: RetryPolicy.microseconds(wait))
        case JobControl.discard: meaning = .discard
        case JobControl.deadLetter: meaning = .deadLetter
        case is UndecodablePayload: meaning = .undecodable
        case RunnerError.tooManyWaiting: meaning = .tooManyWaiting
        default:
            switch policy.decide?(error) {
            case .deadLetter: meaning = .deadLetter
            case .discard: meaning = .discard
            case .retry, nil: meaning = .retry
            }
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 64)
        let (code, wait): (UInt8, Int64) =
            switch meaning {
            case .retry: (0, 0)
            case .retryAfter(let wait): (1, wait)
            case .snooze(let wait): (2, wait)
            case .discard: (3, 0)
            case .deadLetter: (4, 0)
            case .undecodable: (5, 0)
            case .tooManyWaiting: (6, 0)
            }
        writer.append(code)
        writer.append(littleEndian: wait)
        record.writeWhole(to: &writer)
        return writer.withBytes { Array($0) }
    }

    /// Nil for what is none.
    init?(_ bytes: [UInt8]) {
        guard let read = bytes.withUnsafeBytes({ Self.read($0) }) else { return nil }
        self = read
    }

    private init(_ meaning: Meaning, _ record: FailureRecord) {
        self.meaning = meaning
        self.record = record
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) -> ThrownInChild? {
        guard bytes.count >= 9 else { return nil }
        let wait: Int64 = bytes.littleEndian(at: 1)
        let meaning: Meaning
        switch bytes[0] {
        case 0: meaning = .retry
        case 1: meaning = .retryAfter(microseconds: wait)
        case 2: meaning = .snooze(microseconds: wait)
        case 3: meaning = .discard
        case 4: meaning = .deadLetter
        case 5: meaning = .undecodable
        case 6: meaning = .tooManyWaiting
        default: return nil
        }
        return FailureRecord.readWhole(UnsafeRawBufferPointer(rebasing: bytes[9...]))
            .map { ThrownInChild(meaning, $0) }
    }
}
