/// A job's number for life: one sequence for the store, from 1, in the order of acceptance.
public struct JobID: RawRepresentable, Hashable, Sendable, Comparable, Codable {
    /// The number, from 1.
    public var rawValue: UInt64
    /// Makes an id of its number, as the tool prints it.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders ids as their jobs were accepted.
    public static func < (left: JobID, right: JobID) -> Bool { left.rawValue < right.rawValue }
}

extension JobID: CustomStringConvertible, LosslessStringConvertible {
    /// The number in decimal digits.
    public var description: String { String(rawValue) }

    /// Reads what ``description`` writes; nil for anything else.
    public init?(_ description: String) {
        guard let number = UInt64(description), number > 0 else { return nil }
        self.init(rawValue: number)
    }
}
