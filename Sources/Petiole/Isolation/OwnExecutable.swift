#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The program that runs, as something to start again.
enum OwnExecutable {
    /// Its path, while it is still found there; on Linux else a name of the kernel's for the program that runs, whatever has been
    /// put in its place since: a child must speak as its runner does.
    static var path: String {
        #if os(Linux)
            let own = "/proc/self/exe"
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
            guard readlink(own, &buffer, Int(PATH_MAX)) > 0 else { return own }
            let path = buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
            return FileIdentity(path) == FileIdentity(own) ? path : own
        #else
            var size: UInt32 = 0
            _NSGetExecutablePath(nil, &size)
            var buffer = [CChar](repeating: 0, count: Int(size) + 1)
            _NSGetExecutablePath(&buffer, &size)
            return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        #endif
    }
}
