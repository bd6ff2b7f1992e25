import Dispatch
import Glibc
import Logging

/// SIGTERM and SIGINT: the first drains, the second, or a drain that takes too long, ends at once.
struct SignalWatch: Sendable {
    /// Kubernetes and ECS kill after 30 s; the drain has to be through before.
    static let longestDrain = Duration.seconds(25)

    let logger: Logger
    /// Begins the drain.
    let drain: @Sendable () async -> Void
    /// Makes safe what can be made safe in a moment.
    let endNow: @Sendable () -> Void

    /// The result has to be kept while signals are to be seen.
    func begin() -> Signals? {
        let queue = DispatchQueue(label: "adtrack.signals")
        let count = SignalCount()
        return Signals.watch([SIGTERM, SIGINT], on: queue) { _ in
            if count.next() == 1 { self.first(on: queue) } else { self.end(after: "second signal") }
        }
    }

    private func first(on queue: DispatchQueue) {
        self.logger.info("draining")
        Task { await self.drain() }
        queue.asyncAfter(deadline: .now() + Self.longestDrain / .seconds(1)) { @Sendable in
            self.end(after: "the drain took too long")
        }
    }

    /// Nothing answered is lost by this: an answer leaves after its event is in the journal.
    private func end(after reason: String) {
        self.logger.warning("ending at once", metadata: ["reason": "\(reason)"])
        let closing = Thread.detach(self.endNow)
        closing.wait(upTo: 0.8)
        _exit(0)
    }
}

/// Touched on the signals' queue only.
private final class SignalCount: @unchecked Sendable {
    private var count = 0

    func next() -> Int {
        self.count += 1
        return self.count
    }
}

/// A piece of blocking work that somebody waits for, but not for ever.
private struct Thread {
    private let done = DispatchSemaphore(value: 0)

    static func detach(_ work: @escaping @Sendable () -> Void) -> Thread {
        let thread = Thread()
        let done = thread.done
        DispatchQueue.global().async { @Sendable in
            work()
            done.signal()
        }
        return thread
    }

    func wait(upTo seconds: Double) { _ = self.done.wait(timeout: .now() + seconds) }
}
