import NIOCore
import NIOPosix
import Synchronization

/// A service that answers as the test says, on a free port of the loopback, for as long as a test's body runs.
final class StubService: Sendable {
    /// What happens with the request of that number, counted over all connections from 0.
    enum Reaction: Sendable {
        case answer(String)
        /// The answer leaves after that many milliseconds; later requests of the connection wait behind it.
        case answerLater(String, milliseconds: Int64)
        case silence
        case hangUp
        /// The connection ends behind it.
        case lastAnswer(String)
    }

    let port: Int
    private let requests = Atomic<Int>(0)
    private let connections = Atomic<Int>(0)

    var requestCount: Int { requests.load(ordering: .relaxed) }
    var connectionCount: Int { connections.load(ordering: .relaxed) }

    private init(port: Int) {
        self.port = port
    }

    static func always(_ reaction: Reaction) -> @Sendable (Int) -> Reaction {
        { _ in reaction }
    }

    static func accepted(id: String = "018f2d9c-0000-7000-8000-000000000000") -> String {
        response(status: "200 OK", body: #"{"programId":"212312","messageId":"\#(id)","valid":true}"#)
    }

    static func response(status: String, body: String, headers: String = "") -> String {
        "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static func withService(
        _ react: @escaping @Sendable (Int) -> Reaction,
        port: Int = 0,
        body: (StubService) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let counter = Counter()
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 1_024)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Reactor(counter: counter, react: react))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        let service = StubService(port: channel.localAddress?.port ?? 0)
        counter.service.withLock { $0 = service }
        do {
            try await body(service)
            try await channel.close()
            try await group.shutdownGracefully()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Where the connections find the service, which exists only once the port is known.
    private final class Counter: Sendable {
        let service = Mutex<StubService?>(nil)

        func connected() {
            service.withLock { _ = $0?.connections.add(1, ordering: .relaxed) }
        }

        func requested() -> Int {
            service.withLock { $0?.requests.add(1, ordering: .relaxed).oldValue } ?? 0
        }
    }

    private final class Reactor: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let counter: Counter
        private let react: @Sendable (Int) -> Reaction
        private var matched = 0

        init(counter: Counter, react: @escaping @Sendable (Int) -> Reaction) {
            self.counter = counter
            self.react = react
        }

        func channelActive(context: ChannelHandlerContext) {
            counter.connected()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let end = Array("\r\n\r\n".utf8)
            for byte in unwrapInboundIn(data).readableBytesView {
                matched = byte == end[matched] ? matched + 1 : (byte == end[0] ? 1 : 0)
                if matched == end.count {
                    matched = 0
                    perform(react(counter.requested()), context: context)
                }
            }
        }

        private func perform(_ reaction: Reaction, context: ChannelHandlerContext) {
            switch reaction {
            case .answer(let text):
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
            case .answerLater(let text, let milliseconds):
                let loop = context.eventLoop.assumeIsolated()
                loop.scheduleTask(in: .milliseconds(milliseconds)) {
                    context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
                }
            case .silence:
                break
            case .hangUp:
                context.close(promise: nil)
            case .lastAnswer(let text):
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
                context.close(promise: nil)
            }
        }
    }
}
