import PetioleStorage

/// How much a queue or the store may hold: part of its counters' row, so that who has none pays for no look-up.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | jobs; 0: any number |
/// | 8 | 8 | bytes; 0: any number |
/// | 16 | 8 | for how long an enqueue waits, in microseconds; 0: as long as it takes |
/// | 24 | 1 | when it is full: 0 refuse, 1 wait, 2 drop the oldest |
/// | 25 | 7 | 0 |
struct CapacityRecord: Equatable, Sendable {
    var jobs: UInt64 = 0
    var bytes: UInt64 = 0
    var whenFull = WhenFull.refuse

    /// What becomes of an enqueue for which there is no room.
    enum WhenFull: Equatable, Sendable {
        case refuse
        /// For at most so many microseconds; 0: as long as it takes.
        case wait(UInt64)
        case dropOldest
    }

    static let size = 32

    init() {}

    init(_ row: UnsafeRawBufferPointer, at offset: Int) {
        jobs = row.littleEndian(at: offset)
        bytes = row.littleEndian(at: offset + 8)
        switch row[offset + 24] {
        case 1: whenFull = .wait(row.littleEndian(at: offset + 16))
        case 2: whenFull = .dropOldest
        // What a later version adds is refused here.
        default: whenFull = .refuse
        }
    }

    func write(to target: UnsafeMutableRawPointer, at offset: Int) {
        var time: UInt64 = 0
        var word: UInt64 = 0
        switch whenFull {
        case .refuse: break
        case .wait(let limit): (word, time) = (1, limit)
        case .dropOldest: word = 2
        }
        target.storeLittleEndian(jobs, at: offset)
        target.storeLittleEndian(bytes, at: offset + 8)
        target.storeLittleEndian(time, at: offset + 16)
        target.storeLittleEndian(word, at: offset + 24)
    }

    var isNone: Bool { jobs == 0 && bytes == 0 }
}

/// So many jobs, and so many bytes of them.
struct JobLoad: Equatable, Sendable {
    var jobs: UInt64 = 0
    var bytes: UInt64 = 0

    static func + (left: JobLoad, right: JobLoad) -> JobLoad {
        JobLoad(jobs: left.jobs &+ right.jobs, bytes: left.bytes &+ right.bytes)
    }
    static func += (left: inout JobLoad, right: JobLoad) { left = left + right }

    /// Whether it is at least as much as another, in both.
    func covers(_ other: JobLoad) -> Bool { jobs >= other.jobs && bytes >= other.bytes }
}
