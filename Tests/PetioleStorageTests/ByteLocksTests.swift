import Foundation
import PetioleStorage
import Synchronization
import Testing

@Suite("Byte locks", .timeLimit(.minutes(10))) struct ByteLocksTests {
    private static func withDirectory<Value>(_ body: (String) throws -> Value) throws -> Value {
        let path =
            FileManager.default.temporaryDirectory.path
            + "/petiole-locks-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let value = try body(path)
        try FileManager.default.removeItem(atPath: path)
        return value
    }

    @Test("a lock file has one object in a process, which knows what the process holds")
    func one() throws {
        try Self.withDirectory { directory in
            let locks = try ByteLocks.shared(path: directory + "/locks")
            #expect(try locks.tryLock(7) == .taken)
            let again = try ByteLocks.shared(path: directory + "/../" + lastName(directory))
            #expect(again === locks)
            #expect(try again.tryLock(7) == .heldBy(getpid()))
            #expect(try again.lockWaiting(7) == false)
            #expect(again.holder(of: 7) == getpid())
            again.unlock(7)
            #expect(try locks.tryLock(7) == .taken)
            locks.unlock(7)
        }
    }

    private func lastName(_ directory: String) -> String {
        URL(fileURLWithPath: directory).lastPathComponent + "/locks"
    }

    @Test("a lock that is held keeps its file open when nobody has the object any more")
    func held() throws {
        try Self.withDirectory { directory in
            _ = try ByteLocks.shared(path: directory + "/held").tryLock(1)
            // Opening others closes what is idle.
            for number in 0..<3 { _ = try ByteLocks.shared(path: directory + "/\(number)") }
            let locks = try ByteLocks.shared(path: directory + "/held")
            #expect(try locks.tryLock(1) == .heldBy(getpid()))
            locks.unlock(1)
        }
    }

    @Test("a lock file that was deleted and made anew is another one")
    func replaced() throws {
        try Self.withDirectory { directory in
            let path = directory + "/locks"
            let before = try ByteLocks.shared(path: path)
            #expect(try before.tryLock(1) == .taken)
            try FileManager.default.removeItem(atPath: path)
            let after = try ByteLocks.shared(path: path)
            #expect(after !== before)
            #expect(try after.tryLock(1) == .taken)
            before.unlock(1)
            #expect(try after.tryLock(1) == .heldBy(getpid()))
            after.unlock(1)
        }
    }

    #if os(Linux)
        /// Descriptors of this process for files below a directory.
        private func openFiles(below directory: String) throws -> Int {
            let links = "/proc/self/fd"
            return try FileManager.default.contentsOfDirectory(atPath: links).count { name in
                var target = [CChar](repeating: 0, count: 4096)
                let length = readlink(links + "/" + name, &target, target.count)
                let bytes = target.prefix(max(0, length)).map { UInt8(bitPattern: $0) }
                return String(decoding: bytes, as: UTF8.self).hasPrefix(directory + "/")
            }
        }

        @Test("a lock file is opened once, and closed when nobody has it and nothing is held in it")
        func bounded() throws {
            try Self.withDirectory { directory in
                let used = try ByteLocks.shared(path: directory + "/used")
                for _ in 0..<20 { _ = try ByteLocks.shared(path: directory + "/used") }
                #expect(try openFiles(below: directory) == 1)
                for number in 0..<20 { _ = try ByteLocks.shared(path: directory + "/\(number)") }
                #expect(try openFiles(below: directory) <= 2)
                #expect(try used.tryLock(1) == .taken)
                used.unlock(1)
            }
        }

        @Test("what a wait brought is held in the kernel too, whatever other threads do meanwhile")
        func grant() throws {
            try Self.withDirectory { directory in
                let path = directory + "/locks"
                let locks = try ByteLocks.shared(path: path)
                // Sees the locks of its own process as another's. Stays open: closing it would drop them.
                let onlooker = open(path, O_RDWR | O_CLOEXEC)
                let isDone = Atomic<Bool>(false)
                let ended = DispatchSemaphore(value: 0)
                Thread.detachNewThread {
                    // Sequentially consistent: not worth an argument.
                    while !isDone.load(ordering: .sequentiallyConsistent) {
                        // An error shows in the other thread.
                        if (try? locks.tryLock(5)) == .taken {
                            locks.unlock(5)
                        }
                    }
                    ended.signal()
                }
                var missing = 0
                for _ in 0..<200_000 where try locks.lockWaiting(5) {
                    var look = flock()
                    look.l_type = Int16(F_WRLCK)
                    look.l_start = 5
                    look.l_len = 1
                    // F_OFD_GETLK, by its number: a macro that Swift does not see.
                    if fcntl(onlooker, 36, &look) != 0 || look.l_type == Int16(F_UNLCK) {
                        missing += 1
                    }
                    locks.unlock(5)
                }
                // Sequentially consistent: as above.
                isDone.store(true, ordering: .sequentiallyConsistent)
                ended.wait()
                #expect(missing == 0)
            }
        }
    #endif
}
