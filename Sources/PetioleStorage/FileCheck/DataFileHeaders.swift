/// The two header pages of a data file as one look saw them, each whole, and the newer one's reach tested.
struct DataFileHeaders: Equatable {
    let first: HeaderPage
    let second: HeaderPage

    /// A store that others write to changes a header page some thousand times a second at most, and a
    /// look takes microseconds, so sixteen looks without two alike hardly occur.
    static let lookLimit = 16

    /// 64 TiB, half of what a process can address; LMDB maps what the header says where the program
    /// asks for nothing else.
    static let mapLimit: UInt64 = 1 << 46

    /// The one that LMDB takes: the first, unless the second's transaction is newer.
    var newest: HeaderPage { first.transaction < second.transaction ? second : first }
    var pageSize: Int { Int(first.freeList.pageSize) }

    /// Reads both pages until two looks saw the same, since a writer may change one in between.
    init(_ file: borrowing DataFile) throws(DataFileProblem) {
        var previous = Self.look(file)
        for _ in 1..<Self.lookLimit {
            let next = Self.look(file)
            if next == previous {
                self = try next.get()
                return
            }
            previous = next
        }
        throw .changing(path: file.path)
    }

    private static func look(_ file: borrowing DataFile) -> Result<Self, DataFileProblem> {
        do throws(DataFileProblem) {
            return .success(try Self(lookingAt: file))
        } catch {
            return .failure(error)
        }
    }

    private init(lookingAt file: borrowing DataFile) throws(DataFileProblem) {
        var buffer = [UInt8](repeating: 0, count: DataFileLayout.headerBytes)
        first = try Self.page(0, of: file, at: 0, into: &buffer)
        let size = first.freeList.pageSize
        second = try Self.page(1, of: file, at: UInt64(size), into: &buffer)
        if second.freeList.pageSize != size {
            throw .header(
                path: file.path, page: 1, fault: .pageSizesDiffer(size, second.freeList.pageSize))
        }
        let bytes = try file.status().bytes
        if bytes < 2 * UInt64(size) { throw .tooShort(path: file.path, bytes: bytes) }

        let older = min(first.transaction, second.transaction)
        let newer = max(first.transaction, second.transaction)
        if newer - older > 1 || (newer == older && newer != 0) {
            throw .header(
                path: file.path, page: 1,
                fault: .transactions(first.transaction, second.transaction))
        }
        if newest.mapSize > Self.mapLimit {
            throw .header(
                path: file.path, page: newest.pageNumber, fault: .mapSize(newest.mapSize))
        }
        let last = newest.lastPage
        if last < 1 || last >= newest.mapSize / UInt64(size) {
            throw .header(
                path: file.path, page: newest.pageNumber,
                fault: .lastPage(last, mapSize: newest.mapSize))
        }
    }

    private static func page(
        _ number: UInt64, of file: borrowing DataFile, at offset: UInt64, into buffer: inout [UInt8]
    ) throws(DataFileProblem) -> HeaderPage {
        if let code = file.read(into: &buffer, at: offset) {
            if code == 0 { throw .tooShort(path: file.path, bytes: try file.status().bytes) }
            throw .cannotRead(path: file.path, code: code)
        }
        let page = HeaderPage(buffer.span)
        if let fault = page.fault(number: number) {
            throw .header(path: file.path, page: number, fault: fault)
        }
        return page
    }
}
