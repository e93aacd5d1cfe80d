#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// One object a thread, kept between calls so that each call need not make its own.
///
/// `take` removes it, so a call inside a call gets another; `put` keeps the last one given back.
// Unchecked: the only stored property is a number that never changes, and what it names is
// separate for each thread.
struct ThreadCache<Element: AnyObject>: @unchecked Sendable {
    private let key: pthread_key_t

    init() {
        var key = pthread_key_t()
        let status = pthread_key_create(&key) { kept in
            #if canImport(Darwin)
                Unmanaged<AnyObject>.fromOpaque(kept).release()
            #else
                if let kept { Unmanaged<AnyObject>.fromOpaque(kept).release() }
            #endif
        }
        precondition(status == 0, "no key for thread-local storage is left in this process")
        self.key = key
    }

    @inline(__always)
    func take() -> Element? {
        guard let kept = pthread_getspecific(key) else { return nil }
        pthread_setspecific(key, nil)
        return Unmanaged<Element>.fromOpaque(kept).takeRetainedValue()
    }

    @inline(__always)
    func put(_ element: Element) {
        if let kept = pthread_getspecific(key) {
            Unmanaged<Element>.fromOpaque(kept).release()
        }
        // If the system has no memory for it, the next call makes a new one; this one must not leak.
        let kept = Unmanaged.passRetained(element)
        if pthread_setspecific(key, kept.toOpaque()) != 0 { kept.release() }
    }
}
