/// What is told of a job besides its payload: for finding it, and for whoever follows a request through several programs.
///
/// A job that is enqueued through another one's context inherits its tags and its headers; its own go before.
public struct JobMetadata: Sendable, Hashable {
    /// Words by which jobs are found: 1 to 64 bytes each, at most 16.
    public var tags: [String]
    /// Names and values; a W3C trace context goes under `traceparent`. A name has 1 to 64 bytes, a value at most 1,024, and there
    /// are at most 16.
    public var headers: [String: String]

    /// Makes metadata. Bounds are checked by the enqueue.
    public init(tags: [String] = [], headers: [String: String] = [:]) {
        self.tags = tags
        self.headers = headers
    }

    static let limit = 16
    static let nameLimit = 64
    static let valueLimit = 1_024

    /// What is wrong with it, and what is allowed; nil: nothing.
    var problem: String? {
        if tags.count > Self.limit {
            return "it has \(tags.count) tags; \(Self.limit) are allowed"
        }
        if headers.count > Self.limit {
            return "it has \(headers.count) headers; \(Self.limit) are allowed"
        }
        for name in tags + headers.keys where !(1...Self.nameLimit).contains(name.utf8.count) {
            return "a tag or the name of a header has \(name.utf8.count) bytes; 1 to "
                + "\(Self.nameLimit) are allowed"
        }
        for (name, value) in headers where value.utf8.count > Self.valueLimit {
            return
                "header \"\(name)\" has \(value.utf8.count) bytes; \(Self.valueLimit) are allowed"
        }
        return nil
    }

    /// With those of the job that enqueues this one, as far as they fit.
    func inheriting(_ parent: JobMetadata) -> JobMetadata {
        var all = self
        for tag in parent.tags where !tags.contains(tag) && all.tags.count < Self.limit {
            all.tags.append(tag)
        }
        for (name, value) in parent.headers.sorted(by: { $0.key < $1.key })
        where headers[name] == nil && all.headers.count < Self.limit {
            all.headers[name] = value
        }
        return all
    }
}
