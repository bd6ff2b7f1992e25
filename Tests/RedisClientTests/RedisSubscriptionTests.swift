import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import RedisClient

@Suite("A subscription", .serialized)
struct RedisSubscriptionTests {
    /// Hands `body` what the subscription told, in order; of large messages only their length.
    private func withSubscription<Outcome: Sendable>(
        _ configuration: RedisConfiguration,
        _ body: (RedisSubscription, Locked<[String]>) async throws -> Outcome
    ) async throws -> Outcome {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let told = Locked<[String]>([])
        let subscription = RedisSubscription(configuration, channels: ["news"], on: group.next(), logger: .silent) {
            event in
            told.withLock { $0.append(Self.text(event)) }
        }
        await subscription.start()
        let outcome: Result<Outcome, any Error>
        do { outcome = .success(try await body(subscription, told)) } catch { outcome = .failure(error) }
        await subscription.stop()
        try await group.shutdownGracefully()
        return try outcome.get()
    }

    private static func text(_ event: RedisSubscription.Event) -> String {
        switch event {
        case .subscribed: "subscribed"
        case .message(_, let payload):
            payload.readableBytes > 100 ? "\(payload.readableBytes) bytes" : String(buffer: payload)
        case .pong(let payload): "pong \(String(buffer: payload))"
        case .lost(let reason): reason.code == .timeout ? "silent" : "lost"
        }
    }

    private func eventuallyTold(_ told: Locked<[String]>, _ expected: [String]) async -> Bool {
        await eventually(within: .seconds(6)) { told.get().filter { $0 != "pong " } == expected }
    }

    @Test("Messages and pongs come in the order Redis sent them, after the confirmation")
    func order() async throws {
        try await RedisServer.with { server in
            try await withSubscription(.local(server)) { subscription, told in
                #expect(await eventuallyTold(told, ["subscribed"]))
                let receivers = try server.cli("PUBLISH", "news", "one")
                #expect(receivers == "1")
                #expect(await eventuallyTold(told, ["subscribed", "one"]))
                await subscription.ping("fence-1")
                #expect(await eventuallyTold(told, ["subscribed", "one", "pong fence-1"]))
            }
        }
    }

    @Test("A cut connection is told and made anew")
    func cut() async throws {
        try await RedisServer.with { server in
            try await withSubscription(.local(server)) { _, told in
                #expect(await eventuallyTold(told, ["subscribed"]))
                try server.cli("CLIENT", "KILL", "TYPE", "pubsub")
                #expect(await eventuallyTold(told, ["subscribed", "lost", "subscribed"]))
                try server.cli("PUBLISH", "news", "again")
                #expect(await eventuallyTold(told, ["subscribed", "lost", "subscribed", "again"]))
            }
        }
    }

    @Test("A silent death is found within three seconds")
    func silence() async throws {
        try await RedisServer.with { server in
            try await withSubscription(.local(server)) { _, told in
                #expect(await eventuallyTold(told, ["subscribed"]))
                server.pause()
                let begin = ContinuousClock.now
                #expect(await eventuallyTold(told, ["subscribed", "silent"]))
                #expect(ContinuousClock.now - begin < .seconds(3.2) * Machine.stretch)
                server.resume()
                #expect(await eventuallyTold(told, ["subscribed", "silent", "subscribed"]))
            }
        }
    }

    @Test("A message of 10 MB is taken, one above the bound ends the connection and nothing else")
    func large() async throws {
        try await RedisServer.with { server in
            try await withSubscription(.local(server)) { _, told in
                #expect(await eventuallyTold(told, ["subscribed"]))
                try server.publish("news", byteCount: 10_000_000)
                #expect(await eventuallyTold(told, ["subscribed", "10000000 bytes"]))
                try server.publish("news", byteCount: 17 * 1024 * 1024)
                #expect(await eventuallyTold(told, ["subscribed", "10000000 bytes", "lost", "subscribed"]))
            }
        }
    }

    @Test("A user without the right to subscribe is refused without haste")
    func refused() async throws {
        var options = RedisServer.Options()
        options.configuration = ["user anna on >pass +ping"]
        try await RedisServer.with(options) { server in
            let url = "redis://anna:pass@127.0.0.1:\(server.port)"
            try await withSubscription(RedisConfiguration(url: url)) { subscription, told in
                #expect(await eventually { told.get().count >= 3 })
                #expect(told.get().allSatisfy { $0 == "lost" })
                #expect(await !subscription.isSubscribed)
                let before = told.get().count
                try await Task.sleep(for: .seconds(1))
                #expect(told.get().count - before <= 5)
            }
        }
    }
}

extension RedisServer {
    fileprivate func publish(_ channel: String, byteCount: Int) throws {
        try cli(["-x", "PUBLISH", channel], input: .init(repeating: UInt8(ascii: "x"), count: byteCount))
    }
}
