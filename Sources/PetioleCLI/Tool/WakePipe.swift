import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A pipe that wakes whoever polls it. It lives as long as the process.
struct WakePipe: Sendable {
    let reading: Int32
    private let writing: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        let code = petiole_pipe(&ends, 3)
        guard code == 0 else {
            throw Failure("no pipe can be made: \(systemText(code))", status: 74)
        }
        reading = ends[0]
        writing = ends[1]
    }

    /// Makes `reading` readable. A full pipe is readable already.
    func ring() {
        var byte: UInt8 = 0
        _ = write(writing, &byte, 1)
    }

    /// Waits until it is rung, or for so long; takes all rings at once. Less than zero waits for ever.
    func wait(milliseconds: Int32) {
        var entry = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        if poll(&entry, 1, milliseconds) > 0 {
            withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { buffer in
                while read(reading, buffer.baseAddress, buffer.count) == buffer.count {}
            }
        }
    }
}
