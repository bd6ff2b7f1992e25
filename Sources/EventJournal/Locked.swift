import Glibc

/// A value behind a lock of the system's: `Mutex` of the standard library in another form.
///
/// The journal is where threads meet, and the thread sanitizer checks that they do so under a lock. It knows the system's
/// locks; the standard library's is a futex inlined into its callers, of which it sees nothing.
///
/// `@unchecked Sendable`: the value was sent in, is reached through the lock alone, and what leaves is sent out.
class Locked<Value>: @unchecked Sendable {
    fileprivate let lock: UnsafeMutablePointer<pthread_mutex_t>
    fileprivate let value: UnsafeMutablePointer<Value>

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

/// A value behind a lock, and a bell for the thread that waits until the value is as it needs it.
///
/// `@unchecked Sendable`: as what it is made of; the bell is the system's, made for threads.
final class Monitor<Value>: Locked<Value>, @unchecked Sendable {
    /// What a look at the value leads to.
    enum Look<R> {
        case done(R)
        /// Look again when the bell rings, or at this monotonic time in nanoseconds; nil: at no time.
        case sleep(until: UInt64?)
    }

    private let bell: UnsafeMutablePointer<pthread_cond_t>

    override init(_ value: consuming sending Value) {
        self.bell = .allocate(capacity: 1)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(self.bell, &attributes)
        pthread_condattr_destroy(&attributes)
        super.init(value)
    }

    deinit {
        pthread_cond_destroy(self.bell)
        self.bell.deallocate()
    }

    /// Not to be rung under the lock: on one core whoever wakes would run at once, into it, and sleep again.
    func ring() { pthread_cond_signal(self.bell) }

    /// Looks, and sleeps, until a look is done.
    func wait<R>(_ look: (inout sending Value) -> sending Look<R>) -> sending R {
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        while true {
            switch look(&self.value.pointee) {
            case .done(let result): return result
            case .sleep(until: nil): pthread_cond_wait(self.bell, self.lock)
            case .sleep(until: let time?):
                var time = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
                pthread_cond_timedwait(self.bell, self.lock, &time)
            }
        }
    }
}
