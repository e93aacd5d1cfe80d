#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A thread of our own: what it does never moves to another one, as a task of Swift's would.
enum OSThread {
    private final class Body {
        let name: String
        let run: () -> Void
        init(name: String, run: @escaping () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// Starts a detached thread with SIGPIPE blocked. The name is cut to 15 bytes by Linux.
    static func start(named name: String, _ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(name: name, run: run)).toOpaque()
        #if canImport(Darwin)
            var thread: pthread_t?
        #else
            var thread = pthread_t()
        #endif
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let code = pthread_create(&thread, &attributes, threadMain, body)
        pthread_attr_destroy(&attributes)
        precondition(code == 0, "no thread could be started: \(code)")
    }

    private static let threadMain: @convention(c) (UnsafeMutableRawPointer?) ->
        UnsafeMutableRawPointer? = { argument in
            let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
            #if canImport(Darwin)
                pthread_setname_np(body.name)
            #else
                pthread_setname_np(pthread_self(), String(body.name.prefix(15)))
            #endif
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGPIPE)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            body.run()
            return nil
        }
}
