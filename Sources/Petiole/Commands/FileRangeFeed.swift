import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A part of a file on its way into a child's pipe.
///
/// On Linux the pipe is given pages of the file's cache: no byte is copied before the child reads it. Elsewhere, and from files
/// of which Linux cannot give pages, bytes are read and written. They are not mapped: a file that is cut short meanwhile would
/// end the process.
struct FileRangeFeed: ~Copyable {
    /// What the pipe is made to hold: as much as Linux allows who is not root.
    static let pipeSize: Int32 = 1 << 20
    private static let copySize = 256 << 10

    private let range: FileRange
    private let file: Descriptor
    private var position: UInt64
    private let end: UInt64
    private var copies: Bool
    /// Bytes that were read, and of which the pipe has not taken all.
    private var copied: [UInt8] = []
    private var copiedPosition = 0

    /// - Parameter directory: what a relative path is meant from; -1: this process's.
    init(_ range: FileRange, directory: Int32, copies: Bool = false) throws(SpawnError) {
        let number = (range.path + [0]).withUnsafeBytes {
            petiole_open_input(
                directory, $0.assumingMemoryBound(to: CChar.self).baseAddress!)
        }
        guard number >= 0 else {
            throw .unreadableInput(Command.quoted(range.path), code: -number)
        }
        let opened = Descriptor(owning: number)
        guard FileRange.Identity(of: number) == range.identity else {
            throw .changedInput(Command.quoted(range.path))
        }
        file = opened
        self.range = range
        self.copies = copies
        position = range.offset
        end = range.offset + range.length
    }

    /// Nil as long as the file is the one that was listed. Pages that the pipe was given are still the file's, and whoever writes to
    /// it changes what is read of them: so who trusts the child's end looks once more behind it.
    var fault: SpawnError? {
        FileRange.Identity(of: file.number) == range.identity
            ? nil : .changedInput(Command.quoted(range.path))
    }

    enum Step {
        /// The pipe is full.
        case full
        /// All was written, or nobody reads any more.
        case finished
        /// The rest cannot be had.
        case failed(SpawnError)
    }

    /// Writes what the pipe takes.
    mutating func write(to pipe: Int32) -> Step {
        while position < end || copiedPosition < copied.count {
            let count = copies ? copy(to: pipe) : splice(to: pipe)
            switch count {
            case 1...: continue
            case -Int(EINTR): continue
            case -Int(EAGAIN): return .full
            // A command need not read its input, and what it came to is for it to say.
            case -Int(EPIPE): return .finished
            case -Int(EINVAL) where !copies, -Int(ENOSYS) where !copies: copies = true
            case 0: return .failed(.changedInput(Command.quoted(range.path)))
            default:
                return .failed(
                    .unreadableInput(Command.quoted(range.path), code: Int32(-count)))
            }
        }
        return .finished
    }

    private mutating func splice(to pipe: Int32) -> Int {
        let length = Int(clamping: min(end - position, UInt64(Self.pipeSize)))
        let count = petiole_splice_quietly(file.number, Int64(position), pipe, length)
        if count > 0 { position += UInt64(count) }
        return count
    }

    private mutating func copy(to pipe: Int32) -> Int {
        if copiedPosition == copied.count {
            let length = Int(clamping: min(end - position, UInt64(Self.copySize)))
            let (file, position) = (file.number, off_t(position))
            var count = 0
            copied = [UInt8](unsafeUninitializedCapacity: length) { buffer, filled in
                count = pread(file, buffer.baseAddress!, length, position)
                if count < 0 { count = -Int(errno) }
                filled = max(0, count)
            }
            copiedPosition = 0
            if count <= 0 { return count }
            self.position += UInt64(count)
        }
        let count = copied.withUnsafeBytes {
            petiole_write_quietly(pipe, $0.baseAddress! + copiedPosition, $0.count - copiedPosition)
        }
        if count > 0 { copiedPosition += count }
        return count
    }
}
