import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The processors that this process may really use: its affinity mask and the quotas of its control
/// groups. At least 1.
package func usableProcessors() -> Int { Int(petiole_processors()) }

/// A thread could not be started.
package struct ThreadError: Error, Equatable {
    /// The system's code, EAGAIN for a limit on threads or memory.
    package let code: CInt
}

/// Threads of our own: named, SIGPIPE blocked.
enum PoolThread {
    /// 8 MiB of address space, like a main thread: user code may recurse deeply, and pages are only
    /// taken when touched.
    static let stackBytes = 8 << 20

    /// A thread to be joined, once.
    struct Handle: Sendable {
        fileprivate let word: UInt

        func join() {
            let error = petiole_thread_join(word)
            precondition(error == 0, "a pool thread cannot be joined [\(error)]")
        }
    }

    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ThreadError)
        -> Handle
    {
        var word: UInt = 0
        let error = unsafe launch(name, body, &word)
        if error != 0 { throw ThreadError(code: error) }
        return Handle(word: word)
    }

    static func startDetached(_ name: String, _ body: @escaping @Sendable () -> Void)
        throws(ThreadError)
    {
        let error = unsafe launch(name, body, nil)
        if error != 0 { throw ThreadError(code: error) }
    }

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private static func launch(
        _ name: String, _ body: @escaping @Sendable () -> Void,
        _ word: UnsafeMutablePointer<UInt>?
    ) -> CInt {
        // Retained for the thread, which takes it over; given back here if there is no thread.
        let context = unsafe Unmanaged.passRetained(Body(body))
        let error = unsafe petiole_thread_start(
            { unsafe Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run() },
            context.toOpaque(), name, stackBytes, word)
        if error != 0 { unsafe context.release() }
        return error
    }

    /// What the calling thread is to the pool. Set at the beginning of its body, which keeps the
    /// object alive.
    static var current: AnyObject? {
        guard let word = unsafe petiole_thread_word() else { return nil }
        return unsafe Unmanaged<AnyObject>.fromOpaque(word).takeUnretainedValue()
    }

    static func setCurrent(_ object: AnyObject?) {
        unsafe petiole_set_thread_word(
            object.map { unsafe Unmanaged.passUnretained($0).toOpaque() })
    }
}
