#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A value behind a lock of the C library.
///
/// `Synchronization.Mutex` would do, but the thread sanitizer does not see its futex and then
/// reports every access that it guards (Swift 6.3, Linux); it knows `pthread_mutex_lock`, and a
/// quiet sanitizer is worth more than a few nanoseconds on paths that are not hot.
// Unchecked: `value` is touched only with the mutex held, and the pointer never changes.
@safe
final class Guarded<Value>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    init(_ value: sending Value) {
        self.value = value
        unsafe mutex = .allocate(capacity: 1)
        unsafe mutex.initialize(to: pthread_mutex_t())
        let error = unsafe pthread_mutex_init(mutex, nil)
        precondition(error == 0, "a mutex cannot be made [\(error)]")
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deinitialize(count: 1)
        unsafe mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return body(&value)
    }
}
