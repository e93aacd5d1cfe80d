import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Where output goes that does not fit in memory: a directory of ours alone, and the name for this
/// attempt.
package struct SpillPlace: Sendable, Equatable {
    package let directory: [UInt8]
    package let name: String

    /// - Parameter name: letters, digits, dot, dash and underscore, at most 48, the first a letter
    ///   or digit.
    package init(directory: [UInt8], name: String) {
        precondition(
            Self.isName(name) && name.utf8.count <= 48,
            "a spill file is named by up to 48 letters, digits, dots, dashes and underscores")
        self.directory = directory
        self.name = name
    }

    static func isName(_ name: String) -> Bool {
        func isLetterOrDigit(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default:
                false
            }
        }
        guard let first = name.utf8.first, isLetterOrDigit(first), name.utf8.count <= 64 else {
            return false
        }
        return name.utf8.allSatisfy { isLetterOrDigit($0) || "._-".utf8.contains($0) }
    }
}

/// How much of a command's output is kept, and where.
package struct CaptureLimits: Sendable, Equatable {
    /// Each output's bytes in memory; 256 KiB hold what nearly every command says.
    package var memoryBound: Int
    /// The length of a spill file. `nil`: the disk is the limit.
    package var spillBound: UInt64?
    /// `nil`: what exceeds ``memoryBound`` is lost, and the result says so.
    package var spill: SpillPlace?
    /// Bytes of each output that are wanted; what comes behind them is counted alone, and nothing is lost by that.
    package var outputLimit: UInt64?

    package init(
        memoryBound: Int = 256 * 1024, spillBound: UInt64? = nil, spill: SpillPlace? = nil,
        outputLimit: UInt64? = nil
    ) {
        precondition(memoryBound >= 0, "a bound is zero or more")
        self.memoryBound = memoryBound
        self.spillBound = spillBound
        self.spill = spill
        self.outputLimit = outputLimit
    }
}

/// Takes the bytes of one output: in memory within the bound, all of them in a file beyond it.
///
/// The first bytes stay in memory also while the file is written, so that a disk that fails costs the rest and not the
/// beginning. What a full disk has no room for is held until it has: whoever reads the output reads no more meanwhile, so
/// that the command waits on its pipe. Used by the one thread that waits for the command.
struct OutputCapture: ~Copyable {
    private enum Place {
        case memory
        case file(SpillFile)
        case lost(CapturedOutput.LossOfOutput)
    }

    private let limits: CaptureLimits
    private let suffix: String
    private var place = Place.memory
    private var kept: [UInt8] = []
    /// Bytes that are wanted, and those behind them that are not.
    private var byteCount: UInt64 = 0
    private var cutCount: UInt64 = 0
    /// What is still to be written to the file.
    private var unwritten: [UInt8] = []
    /// The file was made so that others can read it.
    private var isShown = false
    /// It could not be made, or written: that is not tried again.
    private var cannotShow = false

    /// - Parameter suffix: what tells the outputs of a command apart in the names of their files.
    init(limits: CaptureLimits, suffix: String) {
        self.limits = limits
        self.suffix = suffix
    }

    /// For tests of a disk that fails: files that are open already.
    init(
        limits: CaptureLimits, suffix: String, spillingInto file: Int32, directory: Int32,
        isShown: Bool = false
    ) {
        self.init(limits: limits, suffix: suffix)
        self.isShown = isShown
        place = .file(SpillFile(name: "given", number: 0, directory: directory, file: file))
    }

    /// Lets all that comes be written to a file at once, so that others can read it meanwhile. What fits in memory stays
    /// there besides, and a file that cannot be written costs nothing of it.
    mutating func show() {
        guard case .memory = place, !cannotShow, !isWaiting, let spill = limits.spill else {
            return
        }
        guard case .success(let file) = SpillFile.make(in: spill, suffix: suffix) else {
            cannotShow = true
            return
        }
        place = .file(file)
        isShown = true
        if kept.withUnsafeBytes({ file.write($0) }).1 != nil { hide(file) }
    }

    /// The number of the file that has all of it; nil: there is none.
    var fileNumber: Int? {
        if case .file(let file) = place { file.number } else { nil }
    }

    /// Whether the file is there for others alone: memory holds all of it.
    private var isForOthers: Bool { isShown && byteCount == UInt64(kept.count) }

    /// Whether the disk has no room for what was taken: ``tryAgain()`` before more is read.
    var isWaiting: Bool { !unwritten.isEmpty }

    /// Whether some of what was wanted is not kept.
    var isLost: Bool {
        if case .lost = place { true } else { false }
    }

    /// - Returns: how many of the bytes are wanted: all, or those before the limit.
    @discardableResult
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        var bytes = bytes
        if let limit = limits.outputLimit, UInt64(bytes.count) > limit - byteCount {
            let wanted = Int(limit - byteCount)
            cutCount += UInt64(bytes.count - wanted)
            bytes = UnsafeRawBufferPointer(rebasing: bytes[..<wanted])
        }
        if bytes.isEmpty { return 0 }
        byteCount += UInt64(bytes.count)
        let room = max(0, limits.memoryBound - kept.count)
        kept.append(contentsOf: bytes.prefix(room))
        switch place {
        case .memory where bytes.count > room:
            if unwritten.isEmpty { unwritten = kept }
            unwritten.append(contentsOf: bytes.dropFirst(room))
            openFile()
        case .file(let file):
            if let bound = limits.spillBound, byteCount > bound {
                lose(file, .overSpillBound)
            } else if !unwritten.isEmpty {
                // The command has ended, and this is what its pipe still held.
                unwritten.append(contentsOf: bytes)
            } else {
                let (count, code) = file.write(bytes)
                if count < bytes.count { unwritten = Array(bytes.dropFirst(count)) }
                if let code { refused(file, code) }
            }
        case .memory, .lost: break
        }
        return bytes.count
    }

    /// Writes what the disk had no room for, if it has now.
    mutating func tryAgain() {
        guard isWaiting else { return }
        switch place {
        case .memory: openFile()
        case .file(let file): writeOut(file)
        case .lost: break
        }
    }

    consuming func finish() -> CapturedOutput {
        tryAgain()
        if isWaiting {
            if case .file(let file) = place { file.remove() }
            place = .lost(.diskFull)
        }
        if case .file(let file) = place, isForOthers {
            // Whoever it was shown to has it open.
            hide(file)
        } else if case .file(let file) = place, let code = file.close() {
            lose(file, CapturedOutput.LossOfOutput(code: code))
        }
        let output: CapturedOutput
        switch place {
        case .memory:
            output = .inline(kept)
        case .file(let file):
            output = .spilled(name: file.name, byteCount: byteCount)
        case .lost(let reason):
            let lost = byteCount - UInt64(kept.count)
            output = .incomplete(kept: kept, lostByteCount: lost, reason: reason)
        }
        return cutCount == 0 ? output : .cut(output, cutByteCount: cutCount)
    }

    /// Opens the file and writes what is in memory to it.
    private mutating func openFile() {
        guard let spill = limits.spill else {
            unwritten = []
            place = .lost(.noSpillDirectory)
            return
        }
        switch SpillFile.make(in: spill, suffix: suffix) {
        case .failure(let failure):
            // A disk that has no room for a name may have some later.
            guard CapturedOutput.LossOfOutput(code: failure.code) != .diskFull else { return }
            unwritten = []
            place = .lost(CapturedOutput.LossOfOutput(code: failure.code))
        case .success(let file):
            place = .file(file)
            writeOut(file)
        }
        if case .file(let file) = place, let bound = limits.spillBound, byteCount > bound {
            lose(file, .overSpillBound)
        }
    }

    private mutating func writeOut(_ file: SpillFile) {
        let (count, code) = unwritten.withUnsafeBytes { file.write($0) }
        unwritten.removeFirst(count)
        if let code { refused(file, code) }
    }

    /// A full disk is waited for; any other error costs the rest. A file for others alone is done without.
    private mutating func refused(_ file: SpillFile, _ code: Int32) {
        if isForOthers { return hide(file) }
        let reason = CapturedOutput.LossOfOutput(code: code)
        if reason != .diskFull { lose(file, reason) }
    }

    private mutating func hide(_ file: SpillFile) {
        file.remove()
        unwritten = []
        place = .memory
        isShown = false
        cannotShow = true
    }

    private mutating func lose(_ file: SpillFile, _ reason: CapturedOutput.LossOfOutput) {
        file.remove()
        unwritten = []
        place = .lost(reason)
    }
}

extension CapturedOutput.LossOfOutput {
    fileprivate init(code: Int32) {
        self = code == ENOSPC || code == EDQUOT ? .diskFull : .system(code: code)
    }
}

/// A file being written in the spill directory. Either `close` or `remove` ends its use.
private struct SpillFile {
    struct Failure: Error { let code: Int32 }

    let name: String
    /// What its name ends with; 0: nothing.
    let number: Int
    let directory: Int32
    let file: Int32

    /// An attempt that a crash cut short may have left a file of this name, and a recorded outcome
    /// may name one: neither is written over, the next free number is taken.
    static func make(in place: SpillPlace, suffix: String) -> Result<SpillFile, Failure> {
        let directory = (place.directory + [0]).withUnsafeBytes {
            petiole_open_directory($0.assumingMemoryBound(to: CChar.self).baseAddress!)
        }
        guard directory >= 0 else { return .failure(Failure(code: -directory)) }
        var code = EEXIST
        for number in 0..<1000 where code == EEXIST {
            let name = "\(place.name).\(suffix)" + (number == 0 ? "" : ".\(number)")
            let file = petiole_create_file(directory, name)
            if file >= 0 {
                return .success(
                    SpillFile(name: name, number: number, directory: directory, file: file))
            }
            code = -file
        }
        closeDescriptor(directory)
        return .failure(Failure(code: code))
    }

    /// Writes all of it, or as much as can be: how much that is, and an errno.
    func write(_ bytes: UnsafeRawBufferPointer) -> (count: Int, code: Int32?) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let slice = UnsafeRawBufferPointer(rebasing: rest)
            let count = systemWrite(file, slice.baseAddress, slice.count)
            if count < 0 {
                if errno == EINTR { continue }
                return (bytes.count - rest.count, errno)
            }
            rest = rest.dropFirst(count)
        }
        return (bytes.count, nil)
    }

    /// Makes the bytes and the name durable. On failure, an errno, the file is still to be removed.
    func close() -> Int32? {
        if fsync(file) != 0 { return errno }
        if fsync(directory) != 0 { return errno }
        closeDescriptor(file)
        closeDescriptor(directory)
        return nil
    }

    func remove() {
        unlinkat(directory, name, 0)
        closeDescriptor(file)
        closeDescriptor(directory)
    }
}

private func systemWrite(_ file: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(file, bytes, count)
}
