import Glibc

/// A value behind a lock of the system's: `Mutex` of the standard library in another form.
///
/// The journal is where threads meet, and the thread sanitizer checks that they do so under a lock. It knows the system's
/// locks; the standard library's is a futex inlined into its callers, of which it sees nothing.
///
/// `@unchecked Sendable`: the value was sent in, is reached through the lock alone, and what leaves is sent out.
final class Locked<Value>: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    init(_ value: consuming sending Value) {
        self.lock = .allocate(capacity: 1)
        pthread_mutex_init(self.lock, nil)
        self.value = .allocate(capacity: 1)
        self.value.initialize(to: value)
    }

    deinit {
        self.value.deinitialize(count: 1)
        self.value.deallocate()
        pthread_mutex_destroy(self.lock)
        self.lock.deallocate()
    }

    func withLock<R, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending R
    ) throws(Failure) -> sending R {
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        return try body(&self.value.pointee)
    }

    /// - Returns: nil, without waiting, when somebody else holds the lock.
    func withLockIfAvailable<R>(_ body: (inout sending Value) -> sending R) -> sending R? {
        guard pthread_mutex_trylock(self.lock) == 0 else { return nil }
        defer { pthread_mutex_unlock(self.lock) }
        return body(&self.value.pointee)
    }
}
