public import Logging
public import NIOCore

/// Sends commands to Redis over one pipelined connection; lives on one event loop and is entered there synchronously.
///
/// The commands of one tick of the loop leave in one write. Nothing here waits: while there is no connection a command
/// fails at once, and a command that Redis does not answer within its deadline fails then.
public actor RedisClient {
    public typealias Completion = @Sendable (Result<RESPValue, RedisError>) -> Void

    private enum Waiter {
        case command(Completion)
        /// One of a pipeline.
        case part(of: ReplyGathering, at: Int)
        /// Our own sign of life, which nobody waits for and no counter counts.
        case ping
    }

    private let configuration: RedisConfiguration
    private let loop: any EventLoop
    private let executor: UnownedSerialExecutor
    private let counters = CommandCounters()
    private let link: RedisLink
    private var pending: PendingReplies<Waiter>
    /// Commands of this tick that have not been written.
    private var outgoing = ByteBuffer()
    private var flushIsScheduled = false
    private var deadlineTimer: NIOCore.Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture
    private var pingTimer: RepeatedTask?
    private var sentSincePing = false
    private var stateObserver: (@Sendable (_ isReady: Bool) -> Void)?

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor }

    /// - Parameter loop: all calls and completions happen on it.
    public init(_ configuration: RedisConfiguration, on loop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.loop = loop
        self.executor = loop.executor.asUnownedSerialExecutor()
        self.link = RedisLink(configuration, on: loop, logger: logger)
        self.pending = PendingReplies(
            limits: .init(commands: configuration.maximumPendingCommands, bytes: configuration.maximumPendingBytes)
        )
    }

    /// Whether a connection is open and greeted; commands fail at once while it is not.
    public var isReady: Bool { link.isReady }

    /// Why there is no connection, as far as it is known.
    public var lastFailure: RedisError? { link.lastFailure }

    /// Begins to connect, and connects again whenever the connection is lost, until ``stop()``.
    public func start() {
        link.start(for: self)
    }

    /// Closes the connection; commands without a reply fail as stopped. It may be started again.
    public func stop() {
        link.stop()
    }

    /// Calls `observer` on the loop whenever ``isReady`` changes, and now if it is true already.
    public func observeState(_ observer: @escaping @Sendable (_ isReady: Bool) -> Void) {
        stateObserver = observer
        if isReady { observer(true) }
    }

    /// Returns when the connection can be used.
    ///
    /// - Throws: after `limit`, why it cannot; at once where the server refuses the connection.
    public func waitUntilReady(for limit: TimeAmount) async throws(RedisError) {
        let end = NIODeadline.now() + limit
        while !isReady {
            if let failure = lastFailure, failure.code == .refused { throw failure }
            guard NIODeadline.now() < end, !Task.isCancelled else { throw lastFailure ?? .disconnected }
            try? await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Sends a command in this tick of the loop.
    ///
    /// `completion` is called exactly once, on the loop, within the deadline; where nothing can be sent
    /// (`disconnected`, `overloaded`) it is called before this returns. It may call this client again.
    public func send(_ command: RedisCommand, completion: @escaping Completion) {
        let bytes = command.encoded
        guard link.isReady else { return finish(completion, .failure(.disconnected)) }
        guard pending.hasRoom(for: bytes.readableBytes) else { return finish(completion, .failure(.overloaded)) }
        enqueue(bytes, .command(completion))
    }

    /// Sends a command and waits for its reply; for the slow paths.
    ///
    /// An error answer of Redis is a reply like any other, see ``RESPValue/error(_:)``.
    public func send(_ command: RedisCommand) async throws(RedisError) -> RESPValue {
        let result = await withCheckedContinuation { continuation in
            send(command) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Sends commands in one write and waits for all their replies, in their order.
    ///
    /// Beyond the bounds of outstanding commands and bytes none of them is sent, and all fail as overloaded.
    public func send(all commands: [RedisCommand]) async -> [Result<RESPValue, RedisError>] {
        var pipeline = RedisPipeline(commands: commands.count, bytes: commands.reduce(0) { $0 + $1.byteCount })
        for command in commands { pipeline.begin(command) }
        return await send(pipeline)
    }

    /// As ``send(all:)``.
    public func send(_ pipeline: RedisPipeline) async -> [Result<RESPValue, RedisError>] {
        assert(pipeline.isComplete, "the last command lacks arguments")
        if pipeline.count == 0 { return [] }
        return await withCheckedContinuation { continuation in
            let replies = ReplyGathering(count: pipeline.count) { continuation.resume(returning: $0) }
            let isReady = link.isReady
            guard isReady, pending.hasRoom(for: pipeline.encoded.readableBytes, commands: pipeline.count) else {
                let failure: RedisError = isReady ? .overloaded : .disconnected
                for place in 0..<pipeline.count { finish(.part(of: replies, at: place), .failure(failure)) }
                return
            }
            let deadline = NIODeadline.now() + configuration.commandTimeout
            for (place, size) in pipeline.sizes.enumerated() {
                pending.append(.part(of: replies, at: place), deadline: deadline, byteCount: size)
            }
            enqueue(pipeline.encoded, until: deadline)
        }
    }

    private func enqueue(_ bytes: ByteBuffer, _ waiter: Waiter) {
        let deadline = NIODeadline.now() + configuration.commandTimeout
        pending.append(waiter, deadline: deadline, byteCount: bytes.readableBytes)
        enqueue(bytes, until: deadline)
    }

    /// Whose waiters are pending already.
    private func enqueue(_ bytes: ByteBuffer, until deadline: NIODeadline) {
        if outgoing.readableBytes == 0 {
            outgoing = bytes
        } else {
            outgoing.writeImmutableBuffer(bytes)
        }
        sentSincePing = true
        if !flushIsScheduled {
            flushIsScheduled = true
            loop.execute { self.assumeIsolated { $0.flush() } }
        }
        // While only late replies are awaited the timer stands further off than this command's deadline.
        if deadlineTimer == nil || deadline < timerDeadline { armDeadline() }
    }

    private func flush() {
        flushIsScheduled = false
        guard outgoing.readableBytes > 0 else { return }
        link.write(outgoing)
        outgoing = ByteBuffer()
    }

    private func finish(_ waiter: Waiter, _ result: Result<RESPValue, RedisError>) {
        switch waiter {
        case .command(let completion): finish(completion, result)
        case .part(let gathering, let place):
            counters.count(result)
            gathering.received(result, at: place)
        case .ping: break
        }
    }

    private func finish(_ completion: Completion, _ result: Result<RESPValue, RedisError>) {
        counters.count(result)
        completion(result)
    }
}

/// Deadlines: one timer, for the oldest command that still has one.
extension RedisClient {
    private func armDeadline() {
        guard link.isReady, let oldest = pending.oldestDeadline else { return }
        let giveUp = oldest + configuration.lateReplyLimit
        let next = pending.nextDeadline.map { min($0, giveUp) } ?? giveUp
        deadlineTimer?.cancel()
        timerDeadline = next
        deadlineTimer = loop.scheduleTask(deadline: next) { self.assumeIsolated { $0.deadlinePassed() } }
    }

    private func deadlinePassed() {
        deadlineTimer = nil
        let now = NIODeadline.now()
        while let waiter = pending.popOverdue(at: now) { finish(waiter, .failure(.timeout)) }
        if let oldest = pending.oldestDeadline, oldest + configuration.lateReplyLimit <= now {
            return link.abandon(RedisError(.timeout, "Redis does not answer any more."))
        }
        if deadlineTimer == nil { armDeadline() }
    }

    /// An idle connection may be dead without a sign; a ping has a deadline like every command.
    private func pingIfIdle() {
        defer { sentSincePing = false }
        let ping = RedisCommand("PING").encoded
        guard link.isReady, !sentSincePing, pending.hasRoom(for: ping.readableBytes) else { return }
        enqueue(ping, .ping)
    }
}

extension RedisClient: RedisLinkOwner {
    nonisolated func linkBecameReady() {
        assumeIsolated { $0.becameReady() }
    }

    nonisolated func linkHeard() {}

    nonisolated func linkReceived(_ values: [RESPValue]) {
        assumeIsolated { $0.received(values) }
    }

    nonisolated func linkWasLost(_ reason: RedisError) {
        assumeIsolated { $0.wasLost(reason) }
    }

    private func becameReady() {
        sentSincePing = false
        let interval = configuration.pingInterval
        pingTimer = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            self.assumeIsolated { $0.pingIfIdle() }
        }
        stateObserver?(true)
    }

    private func received(_ values: [RESPValue]) {
        // A completion may stop this client; what came after then belongs to nobody.
        for value in values where link.isReady {
            switch pending.replied() {
            case .waiter(let waiter): finish(waiter, .success(value))
            case .late: continue
            case .unasked:
                return link.abandon(RedisError(.violation, "Redis answered more than it was asked."))
            }
        }
    }

    private func wasLost(_ reason: RedisError) {
        pingTimer?.cancel()
        pingTimer = nil
        deadlineTimer?.cancel()
        deadlineTimer = nil
        outgoing = ByteBuffer()
        let failure = reason.code == .stopped ? RedisError.stopped : RedisError.disconnected
        for waiter in pending.removeAll() { finish(waiter, .failure(failure)) }
        stateObserver?(false)
    }
}

/// Puts the replies of several commands in the commands' order.
private final class ReplyGathering {
    private var replies: [Result<RESPValue, RedisError>]
    private var missing: Int
    private let completion: ([Result<RESPValue, RedisError>]) -> Void

    init(count: Int, completion: @escaping ([Result<RESPValue, RedisError>]) -> Void) {
        self.replies = Array(repeating: .failure(.disconnected), count: count)
        self.missing = count
        self.completion = completion
    }

    func received(_ reply: Result<RESPValue, RedisError>, at place: Int) {
        replies[place] = reply
        missing -= 1
        if missing == 0 { completion(replies) }
    }
}
