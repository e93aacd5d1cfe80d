import CPetiole
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Numbers by keys of 128 bits that are random in all of their bits, as those of ``KeyedHash`` are.
///
/// It is an array of lines of 64 bytes, the unit in which a processor reads memory. A line holds three keys and their numbers;
/// the first bits of a key say in which it is looked for, and if that is full in the one behind it. So a key that is not there
/// costs one read of memory, mostly. It doubles when four fifths are taken. A small table is memory of the process; a large one
/// lies in a file that has lost its name, which the system may write out and forget: 10 million keys are 256 MiB of file.
// What guards it: one task at a time uses it, and hands it on whole.
final class InputTable: @unchecked Sendable {
    private static let keysInLine = 3
    /// Where the numbers begin in a line; the last four bytes are not used.
    private static let numbersStart = 48
    private static let lineSize = 64
    /// Tables of up to 4 MiB, some 157,000 keys, are memory.
    private static let mostInMemory = 4 << 20

    /// The lines.
    private var base: UnsafeMutableRawPointer
    /// The logarithm of their number, to base 2.
    private var bits: Int
    private(set) var count = 0
    /// Where the file goes.
    private let directory: String?
    /// From how many bytes on.
    private let mostInMemory: Int

    /// - Parameter directory: nil: it stays in memory, however large.
    init(directory: String?, mostInMemory: Int = InputTable.mostInMemory) throws {
        self.directory = directory
        self.mostInMemory = mostInMemory
        bits = 8
        base = try Self.map(Self.lineSize << bits, nil)
    }

    deinit { munmap(base, byteCount) }

    private var byteCount: Int { Self.lineSize << bits }

    /// The place of a key's number; nil: it has none. Good until the next key is added.
    func find(_ key: KeyedHash.Value) -> UnsafeMutablePointer<UInt32>? {
        let (place, isThere) = place(of: key)
        return isThere ? place.number : nil
    }

    /// The place of a key's number, which is 0 when there was none: it is then to be set to another at once. Good until the
    /// next key is added.
    func add(_ key: KeyedHash.Value) throws -> UnsafeMutablePointer<UInt32> {
        var (place, isThere) = place(of: key)
        if isThere { return place.number }
        if (count + 1) * 5 > (Self.keysInLine << bits) * 4 {
            try grow()
            place = self.place(of: key).place
        }
        count += 1
        place.key.storeBytes(of: key.low, as: UInt64.self)
        place.key.storeBytes(of: key.high, toByteOffset: 8, as: UInt64.self)
        return place.number
    }

    private struct Place {
        var key: UnsafeMutableRawPointer
        var number: UnsafeMutablePointer<UInt32>

        init(_ line: UnsafeMutableRawPointer, _ index: Int) {
            key = line + index * 16
            number = (line + InputTable.numbersStart + index * 4).assumingMemoryBound(
                to: UInt32.self)
        }

        var value: KeyedHash.Value {
            KeyedHash.Value(
                low: key.load(as: UInt64.self), high: key.load(fromByteOffset: 8, as: UInt64.self))
        }
    }

    /// Where a key is, or where it belongs: a number of 0 marks a place that is free.
    private func place(of key: KeyedHash.Value) -> (place: Place, isThere: Bool) {
        let last = 1 << bits - 1
        var line = Int(key.low >> UInt64(64 - bits))
        while true {
            let start = base + line * Self.lineSize
            for index in 0..<Self.keysInLine {
                let place = Place(start, index)
                if place.number.pointee == 0 { return (place, false) }
                if place.value == key { return (place, true) }
            }
            line = (line + 1) & last
        }
    }

    // MARK: Growing

    /// Twice as many lines. A key's line is told by its first bits, so both are gone through from front to back.
    private func grow() throws {
        let old = base
        let oldBytes = byteCount
        base = try Self.map(oldBytes * 2, oldBytes * 2 > mostInMemory ? directory : nil)
        bits += 1
        for line in 0..<oldBytes / Self.lineSize {
            for index in 0..<Self.keysInLine {
                let from = Place(old + line * Self.lineSize, index)
                if from.number.pointee == 0 { break }
                let key = from.value
                let (to, _) = place(of: key)
                to.key.storeBytes(of: key.low, as: UInt64.self)
                to.key.storeBytes(of: key.high, toByteOffset: 8, as: UInt64.self)
                to.number.pointee = from.number.pointee
            }
        }
        munmap(old, oldBytes)
    }

    /// So many zero bytes.
    private static func map(_ size: Int, _ directory: String?) throws -> UnsafeMutableRawPointer {
        var file: Int32 = -1
        if let directory { file = try makeFile(size, directory) }
        defer { if file >= 0 { close(file) } }
        let flags = file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANON
        guard let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, flags, file, 0),
            mapped != MAP_FAILED
        else { throw noRoom(size, directory, errno) }
        return mapped
    }

    /// A file without a name, with room on the disk: a write into a mapped file that finds none would end the process.
    private static func makeFile(_ size: Int, _ directory: String) throws -> Int32 {
        let path = "\(directory)/.inputs-\(UInt64.random(in: 0 ... .max))"
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw noRoom(size, directory, errno) }
        unlink(path)
        let code = petiole_reserve(file, 0, Int64(size), 1)
        guard code == 0 else {
            close(file)
            throw noRoom(size, directory, code)
        }
        return file
    }

    private static func noRoom(_ size: Int, _ directory: String?, _ code: Int32) -> Failure {
        Failure(
            """
            the list of the inputs of this run needs \(grouped(size >> 20)) MiB\
            \(directory.map { " in \(visible($0))" } ?? " of memory"): \(systemText(code))
            make room there; the same line again goes on from here
            """, status: 125)
    }
}
