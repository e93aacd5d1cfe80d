#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The options that a worker read last: jobs that were accepted together mostly have the same, byte for byte, and are read
/// once.
struct LastOptions {
    private var bytes: [UInt8] = []
    private var options = JobOptions()

    mutating func read(_ fields: UnsafeRawBufferPointer) throws(FormatError) -> JobOptions {
        let isSame = bytes.withUnsafeBytes { bytes in
            bytes.count == fields.count && !fields.isEmpty
                && memcmp(bytes.baseAddress!, fields.baseAddress!, fields.count) == 0
        }
        if isSame { return options }
        options = try JobOptions(fields)
        bytes = Array(fields)
        return options
    }
}
