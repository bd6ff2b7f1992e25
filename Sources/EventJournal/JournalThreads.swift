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

/// Where a thread pauses until its time comes, or the end.
final class Pause: Sendable {
    private let isEnded = Monitor(false)

    func end() {
        self.isEnded.withLock { $0 = true }
        self.isEnded.ring()
    }

    /// - Returns: false at the end.
    func wait(milliseconds: Int) -> Bool {
        let time = JournalClock.monotonicNanoseconds() &+ UInt64(max(0, milliseconds)) &* 1_000_000
        return self.isEnded.wait { isEnded in
            if isEnded { return .done(false) }
            return JournalClock.monotonicNanoseconds() >= time ? .done(true) : .sleep(until: time)
        }
    }
}
