import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A small file that several processes have mapped: words to wait on, slots to look into. Allocated in full, since a
/// sparse one on a full disk ends the process with SIGBUS.
// What guards it: the address never changes; who uses which word how is said at `Bell` and at the slots.
@safe package final class MappedFile: @unchecked Sendable {
    package let base: UnsafeMutableRawPointer
    package let size: Int

    /// Maps a file, made when it is missing and filled up with zeros when it is short.
    package init(path: String, size: Int) throws(StorageError) {
        let file = unsafe open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .system(call: "open \(path)", code: errno) }
        defer { close(file) }
        var info = stat()
        guard unsafe fstat(file, &info) == 0 else {
            throw .system(call: "fstat \(path)", code: errno)
        }
        guard info.st_mode & S_IFMT == S_IFREG else {
            throw .damaged("\(path) is not a regular file")
        }
        if Int(info.st_size) < size {
            let code = petiole_reserve(file, 0, Int64(size), 1)
            if code == ENOSPC { throw .diskFull }
            if code != 0 { throw .system(call: "fallocate \(path)", code: code) }
        }
        let mapped = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .system(call: "mmap \(path)", code: errno)
        }
        unsafe base = unsafe mapped
        self.size = size
    }

    deinit { unsafe munmap(base, size) }
}
