#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What tells whose a process is, in its environment, which its own children inherit: the attempt that
/// it is, `<store id>:<job>:<attempt>`; or the runner whose jobs it runs one after the other,
/// `<store id>:runner:<pid>:<start>`.
package struct AttemptMark: Sendable, Equatable, Hashable, CustomStringConvertible {
    package static let variableName = "PETIOLE_ATTEMPT"

    package enum Owner: Sendable, Equatable, Hashable {
        case attempt(job: UInt64, Int)
        /// A runner's process, told from others that had its number by when it started.
        case runner(pid: pid_t, startTime: UInt64)
    }

    /// Holds no colon and no zero byte.
    package let storeID: String
    package let owner: Owner

    package init(storeID: String, owner: Owner) {
        precondition(
            !storeID.isEmpty && storeID.utf8.allSatisfy { $0 != 0 && $0 != UInt8(ascii: ":") },
            "the id of a store is not empty and holds neither a colon nor a zero byte")
        self.storeID = storeID
        self.owner = owner
    }

    package init(storeID: String, job: UInt64, attempt: Int) {
        self.init(storeID: storeID, owner: .attempt(job: job, attempt))
    }

    /// Reads the value of the variable; `nil` if it is not one of ours.
    package init?(_ value: some StringProtocol) {
        let parts = value.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count >= 3, !parts[0].isEmpty else { return nil }
        storeID = String(parts[0])
        if parts.count == 4, parts[1] == "runner", let pid = pid_t(parts[2]), pid > 0,
            let startTime = UInt64(parts[3])
        {
            owner = .runner(pid: pid, startTime: startTime)
        } else if parts.count == 3, let job = UInt64(parts[1]), let attempt = Int(parts[2]),
            attempt >= 0
        {
            owner = .attempt(job: job, attempt)
        } else {
            return nil
        }
    }

    /// What a child of a store's runner is called before it has become its program, and so has the
    /// mark: 15 bytes at most. Linux takes no more for a name.
    static func startingName(storeID: String) -> String { "ptl" + storeID.utf8Suffix(12) }

    package var description: String {
        switch owner {
        case .attempt(let job, let attempt): "\(storeID):\(job):\(attempt)"
        case .runner(let pid, let startTime): "\(storeID):runner:\(pid):\(startTime)"
        }
    }
}

extension String {
    fileprivate func utf8Suffix(_ count: Int) -> String {
        String(decoding: utf8.suffix(count), as: UTF8.self)
    }
}
