import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A data file open for reading at offsets, never through a map: what is missing is an error, not a SIGBUS.
///
/// Closing it drops no lock of LMDB's, which keeps its own on `lock.mdb` alone.
struct DataFile: ~Copyable {
    let path: String
    private let descriptor: Int32

    /// Opens a regular file that is no symbolic link.
    init(path: String, in directory: Int32 = AT_FDCWD, name: String? = nil) throws(DataFileProblem)
    {
        // Without O_NONBLOCK a named pipe in the file's place would be waited for.
        let flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        // The path is lent for the call alone.
        let opened = unsafe openat(directory, name ?? path, flags)
        guard opened >= 0 else {
            let code = errno
            throw code == ELOOP ? .symbolicLink(path: path) : .cannotRead(path: path, code: code)
        }
        guard let status = FileStatus(descriptor: opened) else {
            let code = errno
            close(opened)
            throw .cannotRead(path: path, code: code)
        }
        guard status.isRegular else {
            close(opened)
            throw .notARegularFile(path: path)
        }
        self.path = path
        descriptor = opened
    }

    deinit { close(descriptor) }

    /// What the system tells of the open file.
    func status() throws(DataFileProblem) -> FileStatus {
        guard let status = FileStatus(descriptor: descriptor) else {
            throw .cannotRead(path: path, code: errno)
        }
        return status
    }

    /// Fills the first `count` bytes of a buffer from an offset, or the whole of it.
    /// - Returns: nil, or the system's error; 0 stands for the end of the file.
    func read(into buffer: inout [UInt8], count: Int? = nil, at offset: UInt64) -> Int32? {
        let count = count ?? buffer.count
        precondition(count <= buffer.count, "\(count) bytes do not fit \(buffer.count)")
        return unsafe buffer.withUnsafeMutableBytes { bytes in
            var done = 0
            while done < count {
                guard let position = off_t(exactly: offset + UInt64(done)) else { return EOVERFLOW }
                // `done` is below the count, so there is a base address and room behind it.
                let got = unsafe pread(
                    descriptor, bytes.baseAddress! + done, count - done, position)
                if got < 0 && errno == EINTR { continue }
                if got <= 0 { return got < 0 ? errno : 0 }
                done += got
            }
            return nil
        }
    }
}

/// The part of `stat` that says whose a file is and what.
struct FileStatus {
    var mode: UInt32
    var owner: UInt32
    var links: UInt64
    var bytes: UInt64

    var isRegular: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFREG) }
    var isSymbolicLink: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFLNK) }

    init?(descriptor: Int32) {
        var info = stat()
        guard unsafe fstat(descriptor, &info) == 0 else { return nil }
        self.init(info)
    }

    /// Looks at a name in a directory, and not at what a link there leads to.
    init?(name: String, in directory: Int32) {
        var info = stat()
        guard unsafe fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        self.init(info)
    }

    private init(_ info: stat) {
        mode = UInt32(info.st_mode)
        owner = info.st_uid
        links = UInt64(info.st_nlink)
        bytes = UInt64(max(0, info.st_size))
    }

    /// Why a file or directory like this is not trusted: somebody else can change it.
    func problem(path: String) -> DataFileProblem? {
        let user = geteuid()
        if owner != user { return .otherOwner(path: path, owner: owner, user: user) }
        if mode & 0o022 != 0 { return .writableByOthers(path: path, mode: mode & 0o7777) }
        return nil
    }
}

/// A store's directory, held open so that what is looked at by name lies in the one that was examined.
struct StoreDirectory: ~Copyable {
    let path: String
    private let descriptor: Int32

    init(path: String) throws(DataFileProblem) {
        // With a slash at its end, a link would be followed all the same.
        var trimmed = path[...]
        while trimmed.count > 1 && trimmed.last == "/" { trimmed.removeLast() }
        let path = String(trimmed)
        // The path is lent for the call alone.
        let opened = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY)
        guard opened >= 0 else { throw Self.problem(path: path, code: errno) }
        self.path = path
        descriptor = opened
    }

    deinit { close(descriptor) }

    private static func problem(path: String, code: Int32) -> DataFileProblem {
        // For a link in the directory's place, systems differ in which error they give.
        let isLink = FileStatus(name: path, in: AT_FDCWD)?.isSymbolicLink == true
        switch code {
        case ENOENT: return .noDirectory(path: path)
        case ELOOP: return .symbolicLink(path: path)
        case ENOTDIR where isLink: return .symbolicLink(path: path)
        case ENOTDIR: return .notADirectory(path: path)
        default: return .cannotRead(path: path, code: code)
        }
    }

    /// The store's data file, after the directory, the file and its lock file passed as ours alone.
    func openDataFile() throws(DataFileProblem) -> DataFile {
        guard let own = FileStatus(descriptor: descriptor) else {
            throw .cannotRead(path: path, code: errno)
        }
        if let problem = own.problem(path: path) { throw problem }
        // The path is lent for the call alone.
        if unsafe petiole_is_remote(path) == 1 { throw .otherMachine(path: path) }

        guard FileStatus(name: "data.mdb", in: descriptor) != nil else {
            let code = errno
            throw code == ENOENT
                ? .noDataFile(directory: path)
                : .cannotRead(path: "\(path)/data.mdb", code: code)
        }
        let file = try DataFile(path: "\(path)/data.mdb", in: descriptor, name: "data.mdb")
        try Self.require(try file.status(), path: file.path)
        // LMDB writes to whatever this name leads to. It is not opened here: closing it would drop
        // the locks that LMDB holds on it in this process.
        if let lock = FileStatus(name: "lock.mdb", in: descriptor) {
            try Self.require(lock, path: "\(path)/lock.mdb")
        }
        return file
    }

    private static func require(_ status: FileStatus, path: String) throws(DataFileProblem) {
        if status.isSymbolicLink { throw .symbolicLink(path: path) }
        if !status.isRegular { throw .notARegularFile(path: path) }
        if let problem = status.problem(path: path) { throw problem }
        if status.links != 1 { throw .otherNames(path: path, links: status.links) }
    }
}
