import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

func closeDescriptor(_ descriptor: Int32) {
    // An error here is EBADF, a fault of ours, or EINTR, after which Linux has closed it all the
    // same.
    _ = close(descriptor)
}

/// A descriptor that is closed with its owner.
struct Descriptor: ~Copyable {
    let number: Int32

    init(owning number: Int32) { self.number = number }

    deinit { closeDescriptor(number) }
}

/// A pipe, both ends close-on-exec.
struct Pipe: ~Copyable {
    let reading: Descriptor
    let writing: Descriptor

    /// - Parameter ours: the end that this process uses, which never blocks.
    init(ours: End) throws(SpawnError) {
        var ends: (Int32, Int32) = (-1, -1)
        let code = withUnsafeMutablePointer(to: &ends) { pair in
            pair.withMemoryRebound(to: Int32.self, capacity: 2) {
                petiole_pipe($0, ours == .reading ? 1 : 2)
            }
        }
        guard code == 0 else { throw .outOfResources(code: code) }
        reading = Descriptor(owning: ends.0)
        writing = Descriptor(owning: ends.1)
    }

    enum End { case reading, writing }
}

/// What a thread in `poll` is woken with from another.
struct Wake: ~Copyable {
    let reading: Int32
    private let writing: Int32

    init() throws(SpawnError) {
        var ends: (Int32, Int32) = (-1, -1)
        let code = withUnsafeMutablePointer(to: &ends) { pair in
            pair.withMemoryRebound(to: Int32.self, capacity: 2) { petiole_wake_open($0) }
        }
        guard code == 0 else { throw .outOfResources(code: code) }
        (reading, writing) = ends
    }

    deinit {
        closeDescriptor(reading)
        if writing != reading { closeDescriptor(writing) }
    }

    func ring() { petiole_wake_ring(writing) }
    func drain() { petiole_wake_drain(reading) }
}

/// Milliseconds until an instant for `poll`, rounded up so that it does not come back too early; -1
/// for ever.
func pollTimeout(until instant: ContinuousClock.Instant?) -> Int32 {
    guard let instant else { return -1 }
    let (seconds, attoseconds) = (instant - .now).components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    // A day at most: whoever waits looks again anyway.
    guard seconds < 86_400 else { return 86_400_000 }
    return Int32(seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
}
