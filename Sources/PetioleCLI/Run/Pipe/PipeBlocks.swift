import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The blocks of what can be read once: a pipe, a terminal, a device.
///
/// Each is written to a file of the store before it becomes a job. It is known again by its number and a hash of its bytes.
// What guards it: one task at a time uses it, and hands it on whole.
final class PipeBlocks: @unchecked Sendable {
    private let descriptor: Int32
    /// In words.
    private let name: String
    /// Becomes readable when reading is to end.
    private let stop: Int32
    private var cutter: BlockCutter
    private var number = 0

    /// What was read and not given out yet lies from `first` to `last`.
    private let window: UnsafeMutableRawBufferPointer
    private var first = 0
    private var last = 0
    private var isAtEnd = false

    private static let windowSize = 1 << 20

    init(
        _ descriptor: Int32, named name: String = "standard input", stop: Int32, size: BlockSize,
        _ rule: RecordRule
    ) {
        self.descriptor = descriptor
        self.name = name
        self.stop = stop
        cutter = BlockCutter(size: size, rule)
        window = .allocate(byteCount: Self.windowSize, alignment: 4_096)
    }

    deinit { window.deallocate() }

    struct Block {
        let number: Int
        let hash: KeyedHash.Value
        let length: Int
        /// The name of the file that holds it; nil where none was to be written.
        var name: String?
    }

    /// Waits for the first byte. True when there is none, and when reading was stopped.
    func isEmpty() throws -> Bool {
        while first == last, !isAtEnd { guard try read() else { return true } }
        return first == last
    }

    /// Whether the file of a block is kept.
    enum Keep {
        case no, asItself
        /// In the place of another of the same bytes.
        case named(String)
    }

    /// Reads a block to its end, into a file that is kept when `isWanted` says so, of what it is known by.
    /// - Parameter file: makes the file.
    /// - Returns: nil at the end, and when reading was stopped.
    func next(
        _ key: KeyedHash.Key, into file: () throws -> StoredInput?,
        isWanted: (Block) throws -> Keep
    ) throws -> Block? {
        if try isEmpty() { return nil }
        var stored = try file()
        var hash = KeyedHash(key)
        var length = 0
        while true {
            let bytes = UnsafeRawBufferPointer(rebasing: window[first..<last])
            let (count, ends) = cutter.take(bytes, isLast: isAtEnd)
            let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
            hash.add(part)
            if let code = stored?.write(part) { throw noRoom(code) }
            length += count
            first += count
            if ends { break }
            guard try read() else { return nil }
        }
        number += 1
        var block = Block(number: number, hash: hash.value, length: length)
        switch try isWanted(block) {
        case .no: break
        case .asItself:
            if let code = stored?.keep() { throw noRoom(code) }
            block.name = stored?.name
        case .named(let name): if let code = stored?.keep(as: name) { throw noRoom(code) }
        }
        return block
    }

    /// Waits for some bytes, or the end.
    /// - Returns: false when reading was stopped.
    private func read() throws -> Bool {
        if first == last { (first, last) = (0, 0) }
        if last == window.count {
            let rest = UnsafeRawBufferPointer(rebasing: window[first..<last])
            window.copyMemory(from: rest)
            (first, last) = (0, rest.count)
        }
        while true {
            guard WaitForBytes.wait(descriptor, stop: stop) else { return false }
            let count = systemRead(descriptor, window.baseAddress! + last, window.count - last)
            if count > 0 { last += count }
            if count == 0 { isAtEnd = true }
            if count >= 0 { return true }
            if errno != EINTR, errno != EAGAIN {
                throw Failure(
                    "\(name) cannot be read: \(systemText(errno))", status: 125)
            }
        }
    }

    private func noRoom(_ code: Int32) -> Failure {
        Failure(
            """
            a block of \(name) cannot be kept in the store: \(systemText(code))
            make room there; the same line again, with the same input, goes on from here
            """, status: 125)
    }
}

/// Waits for a descriptor, or for the word to stop.
enum WaitForBytes {
    /// - Parameter milliseconds: after which it does not wait any more; less than zero: for ever.
    /// - Returns: false when it was stopped.
    static func wait(_ descriptor: Int32, stop: Int32, milliseconds: Int32 = -1) -> Bool {
        while true {
            var entries = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&entries, 2, milliseconds)
            if count < 0, errno == EINTR { continue }
            return count <= 0 || entries[1].revents == 0
        }
    }
}

private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(file, buffer, count)
}
