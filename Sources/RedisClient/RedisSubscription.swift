public import Logging
public import NIOCore

/// Listens to channels of Redis on a connection of its own and says when that connection could have missed something.
public actor RedisSubscription {
    /// What happened, told on the event loop in the order Redis sent it.
    public enum Event: Sendable, Hashable {
        /// Redis confirmed the subscription: everything published from now on becomes a ``message(channel:payload:)``.
        case subscribed
        case message(channel: ByteBuffer, payload: ByteBuffer)
        /// The answer to ``ping(_:)``; everything Redis published before it has been told.
        case pong(ByteBuffer)
        /// From here to the next ``subscribed`` messages are missed.
        case lost(RedisError)
    }

    private let configuration: RedisConfiguration
    private let channels: [String]
    private let loop: any EventLoop
    private let executor: UnownedSerialExecutor
    private let link: RedisLink
    private let observer: @Sendable (Event) -> Void
    private var state: SubscriptionState
    private var timer: RepeatedTask?

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor }

    /// - Parameters:
    ///   - channels: at least one.
    ///   - observer: called on `loop`; it may call this subscription.
    public init(
        _ configuration: RedisConfiguration,
        channels: [String],
        on loop: any EventLoop,
        logger: Logger,
        observer: @escaping @Sendable (Event) -> Void
    ) {
        precondition(!channels.isEmpty, "a subscription listens to at least one channel")
        self.configuration = configuration
        self.channels = channels
        self.loop = loop
        self.executor = loop.executor.asUnownedSerialExecutor()
        self.link = RedisLink(configuration, on: loop, logger: logger)
        self.observer = observer
        self.state = SubscriptionState(channelCount: channels.count, silenceLimit: configuration.pingInterval * 2)
    }

    /// Whether Redis has confirmed the subscription and the connection lives.
    public var isSubscribed: Bool { link.isReady && state.isSubscribed }

    public func start() {
        link.start(for: self)
    }

    public func stop() {
        link.stop()
    }

    /// Asks for a ``Event/pong(_:)`` with this payload; nothing is sent while the subscription is not confirmed.
    public func ping(_ payload: String) {
        guard isSubscribed else { return }
        link.write(RedisCommand("PING", payload).encoded)
    }

    /// Closes the connection and makes a new one, for a user who has a reason to distrust it.
    public func reconnect(because reason: RedisError) {
        link.abandon(reason)
    }
}

extension RedisSubscription: RedisLinkOwner {
    nonisolated func linkBecameReady() {
        assumeIsolated { $0.becameReady() }
    }

    nonisolated func linkHeard() {
        assumeIsolated { $0.state.heard(at: .now()) }
    }

    nonisolated func linkReceived(_ values: [RESPValue]) {
        assumeIsolated { $0.received(values) }
    }

    nonisolated func linkWasLost(_ reason: RedisError) {
        assumeIsolated { $0.wasLost(reason) }
    }

    private func becameReady() {
        state.connected(at: .now())
        link.write(RedisCommand("SUBSCRIBE", channels).encoded)
        let interval = configuration.pingInterval
        timer = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            self.assumeIsolated { $0.intervalPassed() }
        }
    }

    /// A subscription that is never confirmed ends here too: its connection stays silent.
    private func intervalPassed() {
        guard link.isReady else { return }
        if state.isDead(at: .now()) {
            return link.abandon(RedisError(.timeout, "The subscription is silent."))
        }
        link.write(RedisCommand("PING", "").encoded)
    }

    private func received(_ values: [RESPValue]) {
        for value in values where link.isReady {
            switch state.received(value) {
            case .nothing: continue
            case .subscribed: observer(.subscribed)
            case .message(let channel, let payload): observer(.message(channel: channel, payload: payload))
            case .pong(let payload): observer(.pong(payload))
            case .failed(let error): return link.abandon(error)
            }
        }
    }

    private func wasLost(_ reason: RedisError) {
        timer?.cancel()
        timer = nil
        observer(.lost(reason))
    }
}
