import Petiole

/// Which inputs a run has jobs for, and which of them are listed this time.
///
/// An input is known by its bytes and by which of its equals it is, not by its place. What is kept of one is 128 bits, of a
/// hash with a key that each process draws anew, and a number, in an ``InputTable``: two inputs to meet is less likely than the
/// disk to err, and nobody can choose them so that they do. All of its equals share one entry, but for those behind the
/// first that have jobs.
struct KnownInputs {
    private let table: InputTable
    private let key = KeyedHash.Key()
    /// The jobs of those that have ended, when they are to be run once more: how far behind the first one, and 1.
    private let jobs: InputTable?
    private var firstJob: UInt64?
    /// Those too far behind for a number of the table.
    private var farJobs: [KeyedHash.Value: UInt64] = [:]
    /// The job, if that has ended and jobs are kept, of the input that was listed last.
    private(set) var lastEnded: UInt64?
    /// Jobs of earlier starts that have not ended and are not listed, or not yet.
    private(set) var pendingUnlisted = 0

    // The numbers in the table. Of an input: how often it was listed this time, and two bits for the job of the first of its
    // equals. Of a further one of its equals: the two bits.
    private static let hasJob: UInt32 = 1 << 31
    private static let hasEnded: UInt32 = 1 << 30
    private static let mostListed: UInt32 = 1 << 30 - 1

    /// - Parameters:
    ///   - directory: where a file goes when there are many; nil: they stay in memory.
    ///   - keepsJobs: whether ``lastEnded`` is to be told.
    init(directory: String?, keepsJobs: Bool = false) throws {
        self.init(
            try InputTable(directory: directory),
            jobs: keepsJobs ? try InputTable(directory: directory) : nil)
    }

    /// For tests of small tables that are files.
    init(_ table: InputTable, jobs: InputTable? = nil) {
        self.table = table
        self.jobs = jobs
    }

    var keepsJobs: Bool { jobs != nil }

    /// A digest is another key than an input of the same bytes.
    private func hash(_ bytes: UnsafeRawBufferPointer, isDigest: Bool) -> KeyedHash.Value {
        var hash = KeyedHash.of(bytes, key)
        if isDigest { hash.high = ~hash.high }
        return hash
    }

    private static func further(
        _ hash: KeyedHash.Value, _ occurrence: Int
    ) -> KeyedHash.Value {
        KeyedHash.Value(
            low: hash.low ^ UInt64(occurrence) &* 0x9E37_79B9_7F4A_7C15,
            high: hash.high ^ UInt64(occurrence))
    }

    /// Notes the input of a job of an earlier start.
    mutating func record(
        _ extras: UnsafeRawBufferPointer, hasEnded: Bool, job: UInt64 = 0
    ) throws {
        guard let (occurrence, input, isDigest) = InputMark.read(extras) else { return }
        let hash = self.hash(input, isDigest: isDigest)
        let entry = occurrence == 1 ? hash : Self.further(hash, occurrence)
        let number = try table.add(entry)
        if hasEnded { try keep(job, of: entry) }
        number.pointee = Self.hasJob | (hasEnded ? Self.hasEnded : 0)
        if !hasEnded { pendingUnlisted += 1 }
    }

    private mutating func keep(_ job: UInt64, of entry: KeyedHash.Value) throws {
        guard let jobs else { return }
        let first = firstJob ?? job
        firstJob = first
        if job >= first, let number = UInt32(exactly: job - first + 1) {
            try jobs.add(entry).pointee = number
        } else {
            farJobs[entry] = job
        }
    }

    private func keptJob(of entry: KeyedHash.Value) -> UInt64? {
        guard let number = jobs?.find(entry)?.pointee, let firstJob else { return farJobs[entry] }
        return firstJob + UInt64(number) - 1
    }

    /// Notes that an input is listed.
    /// - Returns: which of its equals it is, from 1, when it has no job yet; nil when it has.
    mutating func list(_ input: InputMark.Key) throws -> Int? {
        let hash = input.bytes.withUnsafeBytes { self.hash($0, isDigest: input.isDigest) }
        let number = try table.add(hash)
        let listed = min(number.pointee & Self.mostListed + 1, Self.mostListed)
        number.pointee = number.pointee & ~Self.mostListed | listed
        let occurrence = Int(listed)
        lastEnded = nil
        let entry = occurrence == 1 ? hash : Self.further(hash, occurrence)
        let job = occurrence == 1 ? number.pointee : table.find(entry)?.pointee
        guard let job, job & Self.hasJob != 0 else { return occurrence }
        if job & Self.hasEnded != 0 { lastEnded = keptJob(of: entry) }
        if job & Self.hasEnded == 0 { pendingUnlisted -= 1 }
        return nil
    }
}
