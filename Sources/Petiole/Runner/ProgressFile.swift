import CPetiole
import PetioleStorage

// Progress
//
// What a job says of its progress lies in the file `progress`, mapped by whoever tells and whoever asks: a line of 128 bytes for
// each slot of `running`, with the same number. To tell costs some stores in memory and no system call; who asks reads the
// newest. Like `running` it outlives a process and need not outlive the machine. The file is made when first needed.
//
//     teller                                    reader
//     makes the count odd (or goes: somebody
//     else tells at this moment)
//     writes the fields                         reads the count: odd, or another one behind the fields
//     makes the count even                      → reads again
//
// | at | size | line |
// |---|---|---|
// | 0 | 8 | job |
// | 8 | 4 | count, odd while it is written |
// | 12 | 4 | length of the note |
// | 16 | 8 | done |
// | 24 | 8 | total, all bits set: unknown |
// | 32 | 8 | when that was told, nanoseconds of the steady clock |
// | 40 | 80 | note, UTF-8, cut |
//
// A job that tells in a tight loop would leave a reader no moment between two writes. So of what changes nothing but the
// number done, one a millisecond is written.

/// How far a job says that it is.
public struct JobProgress: Sendable, Hashable {
    /// What is done, in units of the job's own.
    public let done: Int
    /// Out of how many; nil: unknown.
    public let total: Int?
    /// A word on what it does, at most 80 bytes of it.
    public let note: String
}

final class ProgressFile: Sendable {
    private static let lineSize = 128
    private static let noteLimit = 80
    private static let leastNanoseconds: UInt64 = 1_000_000
    private static let size = RunningSlots.seatCount * RunningSlots.slotsPerSeat * lineSize

    private let file: MappedFile

    init(path: String) throws(StorageError) {
        file = try MappedFile(path: path, size: Self.size)
    }

    private func line(_ index: Int) -> UnsafeMutableRawPointer {
        precondition(index >= 0 && index < Self.size / Self.lineSize, "no such line")
        return file.base + index * Self.lineSize
    }

    /// Tells; does nothing while another task of the same job does.
    func tell(_ index: Int, job: UInt64, done: Int, total: Int?, note: String) {
        let line = line(index)
        let total = total.map { UInt64(bitPattern: Int64($0)) } ?? .max
        var text = Note()
        text.set(note)
        let now = UInt64(bitPattern: petiole_steady_time())
        let isLast = total == UInt64(bitPattern: Int64(done))
        if !isLast, petiole_load_u64(line) == job, petiole_load_u64(line + 24) == total,
            now &- petiole_load_u64(line + 32) < Self.leastNanoseconds, text == Note(at: line)
        {
            return
        }
        let count = petiole_load_sequential_u32(line + 8)
        guard count & 1 == 0, petiole_swap_u32(line + 8, count, count &+ 1) != 0 else { return }
        petiole_store_u64(line, job)
        petiole_store_u64(line + 16, UInt64(bitPattern: Int64(done)))
        petiole_store_u64(line + 24, total)
        petiole_store_u64(line + 32, now)
        text.store(at: line)
        petiole_fence()
        petiole_store_u32(line + 8, count &+ 2)
    }

    /// A teller has died, perhaps in the middle of telling: the line can be told in again. Nobody else tells in it now.
    func mend(_ index: Int) {
        let word = line(index) + 8
        let count = petiole_load_sequential_u32(word)
        // What is half written is of a job that no slot names any more when the next one tells.
        if count & 1 != 0 { petiole_store_u32(word, count &+ 1) }
    }

    /// What a teller leaves that dies in the middle, for tests.
    func leaveHalfTold(_ index: Int) { _ = petiole_add_u32(line(index) + 8, 1) }

    /// The bytes of a note, read and written word by word.
    private struct Note: Equatable {
        var length = 0
        // Ten of them are used.
        var words = SIMD16<UInt64>()

        init() {}

        init(at line: UnsafeMutableRawPointer) {
            length = min(Int(petiole_load_u32(line + 12)), ProgressFile.noteLimit)
            for index in 0..<10 { words[index] = petiole_load_u64(line + 40 + 8 * index) }
        }

        mutating func set(_ note: String) {
            for byte in note.utf8.prefix(ProgressFile.noteLimit) {
                words[length >> 3] |= UInt64(byte) << UInt64(8 * (length & 7))
                length += 1
            }
        }

        func store(at line: UnsafeMutableRawPointer) {
            petiole_store_u32(line + 12, UInt32(length))
            for index in 0..<10 { petiole_store_u64(line + 40 + 8 * index, words[index]) }
        }

        var text: String {
            let bytes = (0..<length).map {
                UInt8(truncatingIfNeeded: words[$0 >> 3] >> UInt64(8 * ($0 & 7)))
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// What a job told last; nil when it has told nothing.
    func told(_ index: Int, job: UInt64) -> JobProgress? {
        let line = line(index)
        // A teller that died in the middle leaves an odd count: then there is nothing to read.
        for _ in 0..<1_000 {
            let count = petiole_load_sequential_u32(line + 8)
            petiole_pause()
            guard count & 1 == 0 else { continue }
            let found = petiole_load_u64(line)
            let done = Int(Int64(bitPattern: petiole_load_u64(line + 16)))
            let total = petiole_load_u64(line + 24)
            let note = Note(at: line)
            petiole_fence()
            guard petiole_load_sequential_u32(line + 8) == count else { continue }
            guard found == job else { return nil }
            return JobProgress(
                done: done, total: total == .max ? nil : Int(Int64(bitPattern: total)),
                note: note.text)
        }
        return nil
    }
}

extension OpenStore {
    /// The file `progress`, made and mapped when first needed; nil when that fails.
    func progressFile() -> ProgressFile? {
        progress.withLock { progress in
            // Progress is not worth a failure: it is told the next time, or not at all.
            if progress == nil { progress = try? ProgressFile(path: path + "/progress") }
            return progress
        }
    }
}

extension JobContext {
    /// Says how far this job is, for whoever asks ``JobStore/progress(of:)`` in any process. Nothing is written to the disk, and no
    /// system call is made: it may be called for each of a million rows. Of what changes nothing but the number done, one a
    /// millisecond is kept.
    /// - Parameters:
    ///   - done: what is done, in units of the job's own.
    ///   - total: out of how many; nil: unknown.
    ///   - note: a word on what it does; 80 bytes of it are kept.
    public func progress(done: Int, of total: Int? = nil, note: String = "") {
        let store = runner.store
        guard let file = store.progressFile() else { return }
        file.tell(
            store.slots.index(of: slot), job: id.rawValue, done: done, total: total, note: note)
    }
}

extension JobStore {
    /// How far a job that runs says that it is; nil when it does not run, or has said nothing. Cost: a look at the attempts in
    /// flight, and O(log *n*) in the jobs kept.
    public func progress(of id: JobID) -> JobProgress? {
        guard let slot = open.slots.slot(of: id.rawValue), let file = open.progressFile(),
            let told = file.told(open.slots.index(of: slot), job: id.rawValue)
        else { return nil }
        // A worker leaves its slot after it has handed over what the attempt came to.
        return open.hasEnded(id.rawValue) ? nil : told
    }
}
