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
    /// The jobs of those that have ended, when they are to be run once more: 24 bytes and more each, for that start alone.
    private var jobs: [KeyedHash.Value: UInt64] = [:]
    var keepsJobs = false
    /// The job, if that has ended and jobs are kept, of the input that was listed last.
    private(set) var lastEnded: UInt64?
    /// Jobs of earlier starts that have not ended and are not listed, or not yet.
    private(set) var pendingUnlisted = 0

    // The numbers in the table. Of an input: how often it was listed this time, and two bits for the job of the first of its
    // equals. Of a further one of its equals: the two bits.
    private static let hasJob: UInt32 = 1 << 31
    private static let hasEnded: UInt32 = 1 << 30
    private static let mostListed: UInt32 = 1 << 30 - 1

    /// - Parameter directory: where a file goes when there are many; nil: they stay in memory.
    init(directory: String?) throws { table = try InputTable(directory: directory) }

    /// For tests of small tables that are files.
    init(_ table: InputTable) { self.table = table }

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
        if keepsJobs, hasEnded { jobs[entry] = job }
        number.pointee = Self.hasJob | (hasEnded ? Self.hasEnded : 0)
        if !hasEnded { pendingUnlisted += 1 }
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
        if keepsJobs { lastEnded = jobs[entry] }
        if job & Self.hasEnded == 0 { pendingUnlisted -= 1 }
        return nil
    }
}
