import Glibc
import NIOConcurrencyHelpers
public import NIOCore
import NIOPosix
import Synchronization

/// One public address, listened to on each of its event loops with a socket of its own (`SO_REUSEPORT`), so that the
/// kernel spreads the connections and no loop hands them to another.
public final class Listener: Sendable {
    private struct State {
        /// What is bound: where the configuration says port 0, the first loop's choice.
        var address: SocketAddress?
        var channels: [ObjectIdentifier: any Channel] = [:]
        var gates: [AcceptGate] = []
    }

    private let host: String
    public let port: Int
    private let maximumConnections: Int
    private let isShared: Bool
    private let state = NIOLockedValueBox(State())
    let connections = Atomic(0)

    /// - Parameter maximumConnections: at it the listener pauses; what is open is served on.
    public init(host: String, port: Int, maximumConnections: Int, isShared: Bool) {
        self.host = host
        self.port = port
        self.maximumConnections = maximumConnections
        self.isShared = isShared
    }

    /// Bound address; nil before the first loop listens.
    public var address: SocketAddress? { self.state.withLockedValue { $0.address } }

    func listen(on loop: any EventLoop, connection: @escaping @Sendable () -> HTTPConnection) async throws {
        let gate = AcceptGate(listener: self, loop: loop)
        let bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: self.isShared ? 1 : 0)
            // One at a time, so that the bound is met exactly.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { $0.pipeline.addHandler(gate, position: .first) }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 32 * 1024, high: 64 * 1024))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(connection())
                }
            }
        let port = self.address?.port ?? self.port
        if self.isShared, self.address == nil { try await self.refuseStrangers(on: loop) }
        let channel = try await bootstrap.bind(host: self.host, port: port).get()
        self.state.withLockedValue { state in
            if state.address == nil { state.address = channel.localAddress }
            state.channels[ObjectIdentifier(loop)] = channel
            state.gates.append(gate)
        }
    }

    /// `SO_REUSEPORT` would share the port with another process of the same user as well, in silence; an ordinary socket
    /// doesn't, so one is bound first.
    private func refuseStrangers(on loop: any EventLoop) async throws {
        guard self.port != 0 else { return }
        let probe = ServerBootstrap(group: loop).serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        try await probe.bind(host: self.host, port: self.port).get().close()
    }

    func close(on loop: any EventLoop) async {
        let channel = self.state.withLockedValue { $0.channels.removeValue(forKey: ObjectIdentifier(loop)) }
        try? await channel?.close()
    }

    // MARK: The bound

    var hasRoom: Bool { self.connections.load(ordering: .relaxed) < self.maximumConnections }

    func connectionBegan() { self.connections.add(1, ordering: .relaxed) }

    func connectionEnded() {
        let before = self.connections.subtract(1, ordering: .relaxed).oldValue
        guard before >= self.maximumConnections else { return }
        for gate in self.state.withLockedValue({ $0.gates }) { gate.open() }
    }
}

/// Stands in the listening channel and lets nothing in while there is no room: the kernel's queue waits, and with it the
/// clients, while everybody inside is served.
final class AcceptGate: ChannelDuplexHandler, Sendable {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let listener: Listener
    private let loop: any EventLoop
    private let waiting: NIOLoopBoundBox<ChannelHandlerContext?>

    init(listener: Listener, loop: any EventLoop) {
        self.listener = listener
        self.loop = loop
        self.waiting = .makeEmptyBox(eventLoop: loop)
    }

    func read(context: ChannelHandlerContext) {
        if self.listener.hasRoom { context.read() } else { self.waiting.value = context }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.listener.connectionBegan()
        let listener = self.listener
        self.unwrapInboundIn(data).closeFuture.whenComplete { _ in listener.connectionEnded() }
        context.fireChannelRead(data)
    }

    func open() {
        self.loop.execute {
            guard let context = self.waiting.value, self.listener.hasRoom else { return }
            self.waiting.value = nil
            context.read()
        }
    }
}
