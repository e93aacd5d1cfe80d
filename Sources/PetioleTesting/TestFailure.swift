/// Something is not as a test expects it, in words.
public struct TestFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// What.
    public let description: String

    init(_ description: String) { self.description = description }
}
