/// Why jobs were not accepted. None of them was: what throws has left nothing behind.
public enum EnqueueError: Error, Sendable, Equatable {
    /// A name is not of the form `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    case invalidName(String, what: String)
    /// An option is out of its bounds, or contradicts another: which, and what is allowed.
    case invalidOption(job: String, String)
    /// Another job holds the unique key: which.
    case notUnique(job: String, existing: JobID)
    /// A workflow cannot be: why, and what is allowed.
    case invalidWorkflow(String)
    /// The payload is larger than the store takes, in bytes.
    case payloadTooLarge(job: String, bytes: Int, limit: Int)
    /// The payload could not be written.
    case unencodable(job: String, reason: String)
    /// What is handed over but not written yet has reached its bound, and the caller chose not to wait.
    case bufferFull
    /// The store refused: it is full, the disk is, or it failed.
    case refused(job: String, queue: String, StoreError)
}

extension EnqueueError: CustomStringConvertible {
    /// What happened, and in the following line the next step.
    public var description: String {
        switch self {
        case .invalidName(let name, let what):
            """
            "\(visible(String(name.prefix(80))))" is not a \(what) name
            names have 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or digit
            """
        case .invalidOption(let job, let problem): "cannot enqueue \"\(job)\": \(problem)"
        case .invalidWorkflow(let problem): "cannot enqueue the workflow: \(problem)"
        case .notUnique(let job, let existing):
            "cannot enqueue \"\(job)\": job \(existing) holds its unique key"
        case .payloadTooLarge(let job, let bytes, let limit):
            """
            cannot enqueue "\(job)": its payload has \(bytes) bytes, and this store takes \(limit)
            put the bytes in a file and its path in the payload, or raise the store's payload limit
            """
        case .unencodable(let job, let reason): "cannot enqueue \"\(job)\": \(reason)"
        case .bufferFull:
            """
            cannot enqueue: what was handed over waits for the disk, and its buffer is full
            await `flush()` before the next, or let the enqueue wait
            """
        case .refused(let job, let queue, let error):
            "cannot enqueue \"\(job)\" on queue \"\(queue)\": \(error)"
        }
    }
}

/// The form of names: what may stand in keys, paths and terminals as it is.
package enum NameForm {
    static let limit = 64

    package static func isValid(_ name: String) -> Bool {
        let bytes = name.utf8
        guard let first = bytes.first, bytes.count <= limit, isAlphanumeric(first) else {
            return false
        }
        return bytes.allSatisfy { isAlphanumeric($0) || $0 == 0x2E || $0 == 0x2D || $0 == 0x5F }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    static func check(_ name: String, _ what: String) throws(EnqueueError) {
        guard isValid(name) else { throw .invalidName(name, what: what) }
    }
}
