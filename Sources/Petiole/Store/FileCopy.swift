import CPetiole
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Files of copies of a store: made anew, 0600, and synced before anybody relies on them.
enum FileCopy {
    /// What could not be done, and why.
    struct Failure: Error {
        var reason: String
        init(_ call: String, _ code: Int32) { reason = "\(call): \(systemMessage(code))" }
        init(_ error: StorageError) { reason = error.description }
        init(reason: String) { self.reason = reason }
    }

    /// Makes a file that must not be there, lets it be filled, and syncs it.
    static func make(
        _ path: String, _ fill: (Int32) throws(Failure) -> Void
    ) throws(Failure) {
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure("open \(path)", errno) }
        defer { close(file) }
        try fill(file)
        guard fsync(file) == 0 else { throw Failure("fsync \(path)", errno) }
    }

    /// Copies a regular file.
    /// - Returns: its bytes; nil when it is not there any more.
    static func copy(_ source: String, to target: String) throws(Failure) -> Int? {
        let from = open(source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        if from < 0, errno == ENOENT { return nil }
        guard from >= 0 else { throw Failure("open \(source)", errno) }
        defer { close(from) }
        var count = 0
        try make(target) { (to) throws(Failure) in
            var failure: Failure?
            withUnsafeTemporaryAllocation(byteCount: 1 << 18, alignment: 4_096) { buffer in
                while failure == nil {
                    let got = readSome(from, buffer)
                    if got == 0 { return }
                    if got < 0 {
                        failure = Failure("read \(source)", errno)
                        return
                    }
                    var rest = UnsafeRawBufferPointer(rebasing: buffer[..<got])
                    while !rest.isEmpty {
                        let put = writeSome(to, rest)
                        if put < 0 {
                            failure = Failure("write \(target)", errno)
                            return
                        }
                        rest = UnsafeRawBufferPointer(rebasing: rest[put...])
                    }
                    count += got
                }
            }
            if let failure { throw failure }
        }
        return count
    }

    private static func readSome(_ file: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let count = read(file, buffer.baseAddress, buffer.count)
            if count >= 0 || errno != EINTR { return count }
        }
    }

    private static func writeSome(_ file: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        while true {
            let count = write(file, bytes.baseAddress, bytes.count)
            if count >= 0 || errno != EINTR { return count }
        }
    }

    /// The names of a directory's regular files; empty when there is no such directory.
    static func names(in directory: String) -> [String] {
        guard let opened = opendir(directory) else { return [] }
        defer { closedir(opened) }
        var names: [String] = []
        while let entry = readdir(opened) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            var info = stat()
            guard lstat("\(directory)/\(name)", &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
                continue
            }
            names.append(name)
        }
        return names
    }

    /// Deletes a directory of files and of directories of files.
    static func remove(_ directory: String) {
        guard let opened = opendir(directory) else { return }
        var folders: [String] = []
        while let entry = readdir(opened) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name == "." || name == ".." { continue }
            if unlink("\(directory)/\(name)") != 0 { folders.append(name) }
        }
        closedir(opened)
        for name in folders {
            for file in names(in: "\(directory)/\(name)") { unlink("\(directory)/\(name)/\(file)") }
            rmdir("\(directory)/\(name)")
        }
        rmdir(directory)
    }
}
