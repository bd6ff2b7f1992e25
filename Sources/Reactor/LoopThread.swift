import CLinux
import Glibc
import NIOCore
import Synchronization

/// The thread of one loop.
final class LoopThread: Sendable {
    /// pthread_self(3) of the thread, which enters it itself; 0 before. Every other thread finds that it's another.
    private let itself = Atomic<UInt>(0)
    /// What `join` takes; entered by who starts.
    private let handle = Atomic<UInt>(0)

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    @inline(__always)
    var isCurrent: Bool { self.itself.load(ordering: .relaxed) == UInt(pthread_self()) }

    func start(_ run: @escaping @Sendable () -> Void) throws {
        let body = Unmanaged.passRetained(
            Body {
                self.itself.store(UInt(pthread_self()), ordering: .relaxed)
                // Signals are for the threads that wait for them.
                var signals = sigset_t()
                sigfillset(&signals)
                pthread_sigmask(SIG_BLOCK, &signals, nil)
                run()
                // The system gives a thread's name away again.
                self.itself.store(0, ordering: .relaxed)
            }
        )
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
            throw IOError(errnoCode: result, reason: "pthread_create")
        }
        pthread_setname_np(thread, "reactor")
        self.handle.store(UInt(thread), ordering: .relaxed)
    }

    /// Waits for its end; once.
    func join() {
        let thread = self.handle.exchange(0, ordering: .relaxed)
        if thread != 0 { pthread_join(pthread_t(thread), nil) }
    }
}
