import NIOCore
import TestSupport
import Testing

@testable import RedisClient

@Suite("A peer that is not a good Redis")
struct HostilePeerTests {
    @Test(
        "An answer that breaks a bound or the protocol ends the connection, fails the caller, and a new one is made",
        arguments: [
            "*1000000000\r\n", "$999999999999\r\n" + String(repeating: "x", count: 100_000), "%1\r\n",
            ":1\r\n:2\r\n:3\r\n",
        ]
    )
    func violations(answer: String) async throws {
        let connections = Locked(0)
        let respond: @Sendable (String, any Channel) -> Void = { text, channel in
            if text.contains("SETNAME") {
                connections.withLock { $0 += 1 }
                channel.welcome()
            } else {
                channel.say(answer)
            }
        }
        try await withFakeServer(respond) { local in
            var configuration = local
            configuration.maximumReplyBytes = 50_000
            configuration.commandTimeout = .seconds(1)
            try await withClient(configuration) { client in
                #expect(await eventually { await client.isReady })
                _ = try? await client.send(RedisCommand("HGETALL", "x"))
                #expect(await eventually { connections.get() >= 2 })
                #expect(await eventually { await client.isReady })
            }
        }
    }

    @Test("A peer that takes connections and says nothing is given up after a second, again and again")
    func silent() async throws {
        let greetings = Locked(0)
        let respond: @Sendable (String, any Channel) -> Void = { _, _ in greetings.withLock { $0 += 1 } }
        try await withFakeServer(respond) { configuration in
            try await withClient(configuration) { client in
                #expect(await eventually { greetings.get() >= 2 })
                #expect(await client.lastFailure?.code == .timeout)
                await #expect(throws: RedisError.disconnected) { try await client.send(RedisCommand("PING")) }
            }
        }
    }

    @Test("Answers that come byte by byte are answers")
    func dribble() async throws {
        let respond: @Sendable (String, any Channel) -> Void = { text, channel in
            let answer = text.contains("SETNAME") ? "+OK\r\n+PONG\r\n" : "$5\r\nhello\r\n"
            for (place, byte) in answer.utf8.enumerated() {
                channel.eventLoop.scheduleTask(in: .milliseconds(Int64(place))) {
                    channel.writeAndFlush(ByteBuffer(bytes: [byte]), promise: nil)
                }
            }
        }
        try await withFakeServer(respond) { configuration in
            try await withClient(configuration) { client in
                #expect(await eventually { await client.isReady })
                let echo = try await client.send(RedisCommand("GET", "x"))
                #expect(echo.text == "hello")
            }
        }
    }

    @Test("A server that loads its data is asked again until it has")
    func loading() async throws {
        let asked = Locked(0)
        let respond: @Sendable (String, any Channel) -> Void = { _, channel in
            let count = asked.withLock {
                $0 += 1
                return $0
            }
            channel.say(count < 3 ? "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n" : "+OK\r\n+PONG\r\n")
        }
        try await withFakeServer(respond) { configuration in
            try await withClient(configuration) { client in
                #expect(await eventually { await client.isReady })
                #expect(asked.get() >= 3)
            }
        }
    }

    @Test("A connection whose oldest reply is a second late is made anew")
    func replyIsGone() async throws {
        let connections = Locked(0)
        let respond: @Sendable (String, any Channel) -> Void = { text, channel in
            if text.contains("SETNAME") {
                connections.withLock { $0 += 1 }
                channel.welcome()
            }
        }
        try await withFakeServer(respond) { configuration in
            try await withClient(configuration) { client in
                #expect(await eventually { await client.isReady })
                await #expect(throws: RedisError.timeout) { try await client.send(RedisCommand("PING")) }
                #expect(await client.isReady)
                #expect(await eventually(within: .seconds(3)) { connections.get() >= 2 })
            }
        }
    }
}
