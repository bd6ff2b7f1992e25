public import Dispatch
import Glibc
public import NIOCore

/// An event loop with a thread of its own: descriptors as epoll(7) reports them, timers, and what it is asked to run.
///
/// To actors, futures and timers it is an `EventLoop` like NIO's. Its sockets are no channels: between the kernel and who
/// reads there is one call, where a channel's pipeline takes a third of what a request costs (`Deploy/benchmark --count`).
///
/// A tick: the ready descriptors, then the timers that are due, then the tasks; those that are added meanwhile belong to
/// the next. So a task that a descriptor's work adds runs when all that were ready with it have been served.
///
/// `@unchecked Sendable`: but for the inbox everything is touched on the loop's thread alone.
public final class ReactorLoop: NIOSerialEventLoopExecutor, @unchecked Sendable {
    private var poll: Poll
    private var timers = Timers<Timer>()
    private var tasks: [WakeUp.Job] = []
    private var running: [WakeUp.Job] = []
    private let wakeUp: WakeUp
    private let inbox: WakeUp.Inbox
    private let thread = LoopThread()
    private var hasEnded = false
    /// Monotonic nanoseconds at which the ready descriptors of this tick were reported: one reading of the clock for all.
    public private(set) var tick: UInt64 = NIODeadline.now().uptimeNanoseconds

    /// Sendable only as a claim: made where it is asked for, used on the loop alone from then on.
    private struct Timer: @unchecked Sendable {
        let run: () -> Void
        let fail: (any Error) -> Void
    }

    public init() throws {
        self.poll = try Poll()
        self.wakeUp = try WakeUp()
        self.inbox = self.wakeUp.inbox
        self.wakeUp.heard = { [unowned self] in self.tasks += $0 }
        try self.poll.add(self.wakeUp, for: [.readable, .edge])
        try self.thread.start { self.run() }
    }

    // MARK: Descriptors, on the loop

    public func watch(_ watched: Watched, for interest: Readiness) throws {
        self.assertInEventLoop()
        try self.poll.add(watched, for: interest)
    }

    public func change(_ watched: Watched, to interest: Readiness) {
        self.assertInEventLoop()
        self.poll.change(watched, to: interest)
    }

    /// For what is watched at its edges and was not read to the end: it is called in the next tick if it is ready then.
    public func lookAgain(at watched: Watched) {
        self.assertInEventLoop()
        self.poll.lookAgain(at: watched)
    }

    /// Before its descriptor is closed.
    public func unwatch(_ watched: Watched) {
        self.assertInEventLoop()
        self.poll.remove(watched)
    }

    // MARK: The thread

    private func run() {
        while !self.hasEnded {
            let count = self.poll.wait(upTo: self.patience)
            let now = NIODeadline.now()
            self.tick = now.uptimeNanoseconds
            for index in 0..<count {
                guard let (watched, readiness) = self.poll.ready(index) else { continue }
                watched.isReady(readiness)
            }
            while let timer = self.timers.takeDue(now) { timer.run() }
            self.runTasks()
        }
        self.end()
    }

    /// Milliseconds that the loop may sleep; rounded up, lest it wakes before the time and looks again.
    private var patience: CInt {
        guard self.tasks.isEmpty else { return 0 }
        guard let next = self.timers.next else { return -1 }
        let nanoseconds = max(0, (next - .now()).nanoseconds)
        return CInt(clamping: (nanoseconds + 999_999) / 1_000_000)
    }

    private func runTasks() {
        swap(&self.tasks, &self.running)
        for task in self.running { task() }
        self.running.removeAll(keepingCapacity: true)
    }

    private func end() {
        while !self.tasks.isEmpty { self.runTasks() }
        // What came from outside at the last moment; after it nothing comes.
        self.tasks = self.wakeUp.close()
        for timer in self.timers.takeAll() { timer.fail(EventLoopError.shutdown) }
        while !self.tasks.isEmpty { self.runTasks() }
        self.poll.remove(self.wakeUp)
    }

    /// Runs what it has been asked to and ends. Not to be called on the loop.
    public func stop() {
        self.execute { self.hasEnded = true }
        self.thread.join()
    }
}

extension ReactorLoop: EventLoop {
    public var inEventLoop: Bool { self.thread.isCurrent }

    public func execute(_ task: @escaping @Sendable () -> Void) {
        if self.inEventLoop { self.tasks.append(task) } else { _ = self.inbox.put(task) }
    }

    @discardableResult
    public func scheduleTask<T>(
        deadline: NIODeadline,
        _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> {
        let promise = self.makePromise(of: T.self)
        let timer = Timer(
            run: { promise.assumeIsolated().completeWith(Result(catching: task)) },
            fail: { promise.fail($0) }
        )
        let place = TimerPlace()
        self.onLoop {
            guard !place.isCancelled else { return }
            guard !self.hasEnded else { return timer.fail(EventLoopError.shutdown) }
            place.id = self.timers.add(at: deadline, timer)
        }
        return Scheduled(promise: promise) {
            self.onLoop {
                place.isCancelled = true
                if let id = place.id { self.timers.cancel(id) }
            }
        }
    }

    /// At once where the caller is on the loop.
    private func onLoop(_ body: @escaping @Sendable () -> Void) {
        if self.inEventLoop { body() } else { self.execute(body) }
    }

    @discardableResult
    public func scheduleTask<T>(in delay: TimeAmount, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        self.scheduleTask(deadline: .now() + delay, task)
    }

    public func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        queue.async {
            self.stop()
            callback(nil)
        }
    }
}

/// Where a scheduled task stands, if it does yet. Sendable only as a claim: it is touched on the loop alone.
private final class TimerPlace: @unchecked Sendable {
    var id: UInt64?
    var isCancelled = false
}
