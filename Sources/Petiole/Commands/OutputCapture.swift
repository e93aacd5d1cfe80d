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

    package init(
        memoryBound: Int = 256 * 1024, spillBound: UInt64? = nil, spill: SpillPlace? = nil
    ) {
        precondition(memoryBound >= 0, "a bound is zero or more")
        self.memoryBound = memoryBound
        self.spillBound = spillBound
        self.spill = spill
    }
}

/// Takes the bytes of one output: in memory within the bound, all of them in a file beyond it.
///
/// The first bytes stay in memory also while the file is written, so that a disk that fills up
/// costs the rest and not the beginning. Used by the one thread that waits for the command.
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
    private var byteCount: UInt64 = 0

    /// - Parameter suffix: what tells the outputs of a command apart in the names of their files.
    init(limits: CaptureLimits, suffix: String) {
        self.limits = limits
        self.suffix = suffix
    }

    /// For tests of a disk that fails: files that are open already.
    init(limits: CaptureLimits, suffix: String, spillingInto file: Int32, directory: Int32) {
        self.init(limits: limits, suffix: suffix)
        place = .file(SpillFile(name: "given", directory: directory, file: file))
    }

    mutating func take(_ bytes: UnsafeRawBufferPointer) {
        byteCount += UInt64(bytes.count)
        let room = limits.memoryBound - kept.count
        if case .memory = place, bytes.count > room { openFile() }
        if room > 0 { kept.append(contentsOf: bytes.prefix(room)) }
        guard case .file(let file) = place else { return }
        if let bound = limits.spillBound, byteCount > bound {
            lose(file, .overSpillBound)
        } else if let code = file.write(bytes) {
            lose(file, CapturedOutput.LossOfOutput(code: code))
        }
    }

    consuming func finish() -> CapturedOutput {
        if case .file(let file) = place, let code = file.close() {
            lose(file, CapturedOutput.LossOfOutput(code: code))
        }
        switch place {
        case .memory:
            return .inline(kept)
        case .file(let file):
            return .spilled(name: file.name, byteCount: byteCount)
        case .lost(let reason):
            let lost = byteCount - UInt64(kept.count)
            return .incomplete(kept: kept, lostByteCount: lost, reason: reason)
        }
    }

    /// Opens the file and writes what is in memory to it.
    private mutating func openFile() {
        guard let spill = limits.spill else {
            place = .lost(.noSpillDirectory)
            return
        }
        switch SpillFile.make(in: spill, suffix: suffix) {
        case .failure(let failure):
            place = .lost(CapturedOutput.LossOfOutput(code: failure.code))
        case .success(let file):
            place = .file(file)
            if let code = kept.withUnsafeBytes({ file.write($0) }) {
                lose(file, CapturedOutput.LossOfOutput(code: code))
            }
        }
    }

    private mutating func lose(_ file: SpillFile, _ reason: CapturedOutput.LossOfOutput) {
        file.remove()
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
                return .success(SpillFile(name: name, directory: directory, file: file))
            }
            code = -file
        }
        closeDescriptor(directory)
        return .failure(Failure(code: code))
    }

    /// Writes all of it; an errno if that fails.
    func write(_ bytes: UnsafeRawBufferPointer) -> Int32? {
        var rest = bytes[...]
        while !rest.isEmpty {
            let slice = UnsafeRawBufferPointer(rebasing: rest)
            let count = systemWrite(file, slice.baseAddress, slice.count)
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            rest = rest.dropFirst(count)
        }
        return nil
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
