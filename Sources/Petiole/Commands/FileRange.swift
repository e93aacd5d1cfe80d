#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A part of a regular file that a command gets on its standard input, and by what it is seen that the file is still the same.
package struct FileRange: Sendable, Equatable {
    /// What changes with a file's bytes. Not its device, whose number may be another after the machine was started anew.
    package struct Identity: Sendable, Equatable {
        package let inode: UInt64
        package let size: UInt64
        /// When it was written last, in nanoseconds since 1970.
        package let modified: Int64

        package init(inode: UInt64, size: UInt64, modified: Int64) {
            self.inode = inode
            self.size = size
            self.modified = modified
        }

        /// Of an open file; nil when it is not a regular one, or cannot be asked.
        package init?(of file: Int32) {
            var info = stat()
            guard fstat(file, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { return nil }
            #if canImport(Darwin)
                let time = info.st_mtimespec
            #else
                let time = info.st_mtim
            #endif
            self.init(
                inode: UInt64(info.st_ino), size: UInt64(info.st_size),
                modified: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
        }
    }

    /// Relative ones are meant from the command's working directory.
    package let path: [UInt8]
    package let offset: UInt64
    package let length: UInt64
    package let identity: Identity

    package init(path: [UInt8], offset: UInt64, length: UInt64, identity: Identity) {
        self.path = path
        self.offset = offset
        self.length = length
        self.identity = identity
    }

    /// Whether it lies within the file that it is of.
    var isSound: Bool {
        offset <= identity.size && length <= identity.size - offset && identity.size <= Int64.max
    }
}

extension FileRange {
    func write(into writer: inout CompactWriter) {
        writer.write(string: path)
        writer.write(number: offset)
        writer.write(number: length)
        writer.write(number: identity.inode)
        writer.write(number: identity.size)
        writer.write(number: UInt64(bitPattern: identity.modified))
    }

    init(from reader: inout CompactReader) throws(CompactFault) {
        path = try reader.string()
        offset = try reader.number()
        length = try reader.number()
        identity = Identity(
            inode: try reader.number(), size: try reader.number(),
            modified: Int64(bitPattern: try reader.number()))
        guard isSound else { throw .malformed }
    }
}
