import Logging
import NIOCore
import NIOPosix
import TestSupport

@testable import RedisClient

extension RedisConfiguration {
    /// Deadlines as in production, except where a test says otherwise.
    static func local(_ server: RedisServer) throws -> RedisConfiguration {
        try RedisConfiguration(url: server.url)
    }
}

/// A started client on a loop of its own; stopped however `body` returns.
func withClient<Outcome: Sendable>(
    _ configuration: RedisConfiguration,
    _ body: (RedisClient) async throws -> Outcome
) async throws -> Outcome {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let client = RedisClient(configuration, on: group.next(), logger: .silent)
    await client.start()
    let outcome: Result<Outcome, any Error>
    do { outcome = .success(try await body(client)) } catch { outcome = .failure(error) }
    await client.stop()
    try await group.shutdownGracefully()
    return try outcome.get()
}

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

/// A server that is not Redis: calls `respond` with what it reads and writes what that returns.
func withFakeServer<Outcome: Sendable>(
    _ respond: @escaping @Sendable (String, any Channel) -> Void,
    _ body: (RedisConfiguration) async throws -> Outcome
) async throws -> Outcome {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let listener = try await ServerBootstrap(group: group)
        .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(FakeServerHandler(respond))
            }
        }
        .bind(host: "127.0.0.1", port: 0).get()
    let outcome: Result<Outcome, any Error>
    do {
        outcome = .success(
            try await body(RedisConfiguration(host: "127.0.0.1", port: listener.localAddress?.port ?? 0))
        )
    } catch { outcome = .failure(error) }
    try await listener.close()
    try await group.shutdownGracefully()
    return try outcome.get()
}

private final class FakeServerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let respond: @Sendable (String, any Channel) -> Void

    init(_ respond: @escaping @Sendable (String, any Channel) -> Void) { self.respond = respond }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        respond(String(buffer: unwrapInboundIn(data)), context.channel)
    }
}

extension Channel {
    func say(_ text: String) { writeAndFlush(ByteBuffer(string: text), promise: nil) }

    /// Answers the greeting of a client without credentials.
    func welcome() { say("+OK\r\n+PONG\r\n") }
}
