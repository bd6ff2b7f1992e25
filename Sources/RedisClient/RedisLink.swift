import Logging
import NIOCore
import NIOPosix
import NIOSSL

/// Who uses a link; every call comes on the link's event loop.
protocol RedisLinkOwner: AnyObject, Sendable {
    func linkBecameReady()
    /// All replies of one read, in order.
    func linkReceived(_ values: [RESPValue])
    /// Bytes came, whether they make a whole reply or not.
    func linkHeard()
    func linkWasLost(_ reason: RedisError)
}

/// Drives ``LinkState``: opens the channel, greets, reads replies through hiredis, connects again. Lives on one event loop.
final class RedisLink {
    private let configuration: RedisConfiguration
    private let loop: any EventLoop
    private let logger: Logger
    private let losses = ConnectionLosses()
    private weak var owner: (any RedisLinkOwner)?
    private var state: LinkState
    private var channel: (any Channel)?
    private var reader: ReplyReader?
    private var timer: NIOCore.Scheduled<Void>?
    /// Counts channels, so that what an abandoned one still says is not taken for the present one's.
    private var generation: UInt64 = 0
    /// What was logged last: an outage is said once, not at every attempt.
    private var reported: RedisError?

    init(_ configuration: RedisConfiguration, on loop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.loop = loop
        self.logger = logger
        self.state = LinkState(
            timing: .init(
                connectTimeout: configuration.connectTimeout,
                backOff: configuration.backOff,
                steadyAfter: configuration.pingInterval
            ),
            authenticates: configuration.credentials != nil
        )
    }

    var isReady: Bool { state.isReady }

    /// Why there is no connection, if there is none and a reason is known.
    private(set) var lastFailure: RedisError?

    func start(for owner: any RedisLinkOwner) {
        loop.assertInEventLoop()
        self.owner = owner
        perform(state.started(at: .now()))
    }

    func stop() {
        perform(state.stopped())
    }

    /// Only while ready; the bytes leave at once.
    func write(_ bytes: ByteBuffer) {
        channel?.writeAndFlush(bytes, promise: nil)
    }

    /// The owner found a reason not to use this connection any longer.
    func abandon(_ reason: RedisError) {
        fail(reason)
    }

    private func perform(_ action: LinkState.Action) {
        switch action {
        case .none: break
        case .connect(let deadline):
            arm(deadline)
            openChannel()
        case .greet(let deadline):
            arm(deadline)
            write(Greeting.bytes(for: configuration))
        case .useConnection:
            timer?.cancel()
            timer = nil
            lastFailure = nil
            logger.info("Redis is connected", metadata: ["redis": "\(configuration)"])
            owner?.linkBecameReady()
        case .wait(let until, let reason, let wasReady):
            closeChannel()
            arm(until)
            report(reason, isNews: state.isFirstFailure)
            if wasReady { owner?.linkWasLost(reason) }
        case .close(let wasReady):
            closeChannel()
            timer?.cancel()
            timer = nil
            if wasReady { owner?.linkWasLost(.stopped) }
        }
    }

    private func arm(_ deadline: NIODeadline) {
        timer?.cancel()
        timer = loop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            guard let self else { return }
            self.perform(self.state.timerFired(at: .now(), jitter: .random(in: 0..<1)))
        }
    }

    private func report(_ reason: RedisError, isNews: Bool) {
        lastFailure = reason
        losses.count(reason)
        guard isNews || reported != reason else { return }
        reported = reason
        logger.warning(
            "Redis is not usable, trying again",
            metadata: ["redis": "\(configuration)", "reason": "\(reason)"]
        )
    }
}

/// The channel of the present connection.
extension RedisLink {
    private func openChannel() {
        generation += 1
        let opened = generation
        guard let reader = ReplyReader(limits: configuration.replyLimits) else {
            return fail(RedisError(.disconnected, "There is no memory for a Redis connection."))
        }
        self.reader = reader
        let link = NIOLoopBound(self, eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(configuration.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try link.value.prepare(channel, generation: opened) }
            }
            .connect(host: configuration.host, port: configuration.port)
            .assumeIsolated()
            .whenComplete { self.channelOpened($0, generation: opened) }
    }

    private func prepare(_ channel: any Channel, generation: UInt64) throws {
        if let trust = configuration.trust {
            // An address has no name to announce; the certificate is then verified against the address itself.
            let name = configuration.hostIsAddress ? nil : configuration.host
            let encryption = try NIOSSLClientHandler(context: trust.context, serverHostname: name)
            try channel.pipeline.syncOperations.addHandler(encryption)
        }
        try channel.pipeline.syncOperations.addHandler(LinkHandler(link: self, generation: generation))
    }

    private func channelOpened(_ result: Result<any Channel, any Error>, generation: UInt64) {
        guard generation == self.generation, !state.isStopped else {
            if case .success(let late) = result { late.close(promise: nil) }
            return
        }
        switch result {
        case .success(let channel):
            self.channel = channel
            perform(state.channelOpened(at: .now()))
        case .failure:
            fail(RedisError(.disconnected, "Redis cannot be reached."))
        }
    }

    private func closeChannel() {
        generation += 1
        reader = nil
        let closing = channel
        channel = nil
        closing?.close(promise: nil)
    }

    private func fail(_ reason: RedisError) {
        perform(state.failed(reason, at: .now(), jitter: .random(in: 0..<1)))
    }

    fileprivate func channelRead(_ bytes: ByteBuffer, generation: UInt64) {
        guard generation == self.generation, let reader else { return }
        var values: [RESPValue] = []
        var broken: RedisError?
        do throws(RedisError) {
            try reader.read(bytes) { values.append($0) }
        } catch {
            broken = error
        }
        deliver(values, generation: generation)
        if let broken, generation == self.generation { fail(broken) }
    }

    private func deliver(_ values: [RESPValue], generation: UInt64) {
        var next = 0
        while !state.isReady, next < values.count {
            perform(state.greetingAnswered(values[next], at: .now(), jitter: .random(in: 0..<1)))
            guard generation == self.generation else { return }
            next += 1
        }
        guard state.isReady else { return }
        owner?.linkHeard()
        if next < values.count { owner?.linkReceived(next == 0 ? values : Array(values[next...])) }
    }

    fileprivate func channelFailed(_ error: any Error, generation: UInt64) {
        guard generation == self.generation else { return }
        let isDistrust = !state.isReady && Self.isDistrust(error)
        fail(isDistrust ? .notTrusted : RedisError(.disconnected, "The connection to Redis broke."))
    }

    /// An encrypted connection that is cut says so with an error too; it does not speak of trust.
    private static func isDistrust(_ error: any Error) -> Bool {
        if case .uncleanShutdown? = error as? NIOSSLError { return false }
        return error is NIOSSLError || error is NIOSSLExtraError || error is BoringSSLError
    }

    fileprivate func channelClosed(generation: UInt64) {
        guard generation == self.generation else { return }
        fail(RedisError(.disconnected, "Redis closed the connection."))
    }
}

@available(*, unavailable)
extension RedisLink: Sendable {}

/// Hands what happens on a channel to its link.
private final class LinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: RedisLink
    private let generation: UInt64

    init(link: RedisLink, generation: UInt64) {
        self.link = link
        self.generation = generation
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        link.channelRead(unwrapInboundIn(data), generation: generation)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        link.channelFailed(error, generation: generation)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        link.channelClosed(generation: generation)
        context.fireChannelInactive()
    }
}

extension RedisConfiguration {
    fileprivate var hostIsAddress: Bool {
        (try? SocketAddress(ipAddress: host, port: port)) != nil
    }
}
