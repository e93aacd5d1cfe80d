/// What tells whose attempt a process belongs to: `<store id>:<job>:<attempt>` in its environment,
/// which its own children inherit.
package struct AttemptMark: Sendable, Equatable, Hashable, CustomStringConvertible {
    package static let variableName = "PETIOLE_ATTEMPT"

    /// Holds no colon and no zero byte.
    package let storeID: String
    package let job: UInt64
    package let attempt: Int

    package init(storeID: String, job: UInt64, attempt: Int) {
        precondition(
            !storeID.isEmpty && storeID.utf8.allSatisfy { $0 != 0 && $0 != UInt8(ascii: ":") },
            "the id of a store is not empty and holds neither a colon nor a zero byte")
        self.storeID = storeID
        self.job = job
        self.attempt = attempt
    }

    /// Reads the value of the variable; `nil` if it is not one of ours.
    package init?(_ value: some StringProtocol) {
        let parts = value.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, let job = UInt64(parts[1]),
            let attempt = Int(parts[2]), attempt >= 0
        else { return nil }
        self.storeID = String(parts[0])
        self.job = job
        self.attempt = attempt
    }

    /// What a child of a store's runner is called before it has become its program, and so has the
    /// mark: 15 bytes at most. Linux takes no more for a name.
    static func startingName(storeID: String) -> String { "ptl" + storeID.utf8Suffix(12) }

    package var description: String { "\(storeID):\(job):\(attempt)" }
}

extension String {
    fileprivate func utf8Suffix(_ count: Int) -> String {
        String(decoding: utf8.suffix(count), as: UTF8.self)
    }
}
