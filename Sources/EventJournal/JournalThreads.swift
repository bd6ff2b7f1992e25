import Glibc

/// A thread of the operating system, for what blocks.
final class BlockingThread: Sendable {
    private let handle: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// - Returns: nil where the system gives no thread.
    init?(_ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(run))
        var thread = pthread_t()
        let result = pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            },
            body.toOpaque()
        )
        guard result == 0 else {
            body.release()
            return nil
        }
        self.handle = thread
    }

    func join() { pthread_join(self.handle, nil) }
}

/// Where work waits for a thread.
///
/// `@unchecked Sendable`: everything is touched under the lock only.
final class Mailbox<Item: Sendable>: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let bell = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var items: [Item] = []
    private var isClosed = false

    init() {
        pthread_mutex_init(self.lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(self.bell, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(self.bell)
        pthread_mutex_destroy(self.lock)
        self.bell.deallocate()
        self.lock.deallocate()
    }

    /// - Returns: false when nobody will take it any more.
    @discardableResult
    func post(_ item: Item) -> Bool {
        pthread_mutex_lock(self.lock)
        let isOpen = !self.isClosed
        if isOpen { self.items.append(item) }
        pthread_mutex_unlock(self.lock)
        // Not under the lock: on one core whoever wakes would run at once, into it, and sleep again.
        if isOpen { pthread_cond_signal(self.bell) }
        return isOpen
    }

    func close() {
        pthread_mutex_lock(self.lock)
        self.isClosed = true
        pthread_cond_broadcast(self.bell)
        pthread_mutex_unlock(self.lock)
    }

    /// Waits for items, at most so long, and gives all there are.
    ///
    /// - Returns: false when closed and empty.
    func take(into taken: inout [Item], within milliseconds: Int?) -> Bool {
        taken.removeAll(keepingCapacity: true)
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        let deadline = milliseconds.map(Self.deadline)
        while self.items.isEmpty, !self.isClosed {
            if var deadline {
                if pthread_cond_timedwait(self.bell, self.lock, &deadline) == ETIMEDOUT { break }
            } else {
                pthread_cond_wait(self.bell, self.lock)
            }
        }
        swap(&taken, &self.items)
        return !taken.isEmpty || !self.isClosed
    }

    private static func deadline(in milliseconds: Int) -> timespec {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let nanoseconds = time.tv_nsec + milliseconds % 1000 * 1_000_000
        return timespec(
            tv_sec: time.tv_sec + milliseconds / 1000 + nanoseconds / 1_000_000_000,
            tv_nsec: nanoseconds % 1_000_000_000
        )
    }
}
