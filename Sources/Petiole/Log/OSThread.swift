import CPetiole

/// A thread of our own: what it does never moves to another one, as a task of Swift's would.
package enum OSThread {
    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Starts a detached thread with SIGPIPE blocked. The name is cut to 15 bytes by Linux.
    package static func start(named name: String, _ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(run)).toOpaque()
        let code = petiole_thread_start(
            { argument in Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run() }, body,
            name, 512 << 10, nil)
        precondition(code == 0, "no thread could be started: errno \(code)")
    }
}
