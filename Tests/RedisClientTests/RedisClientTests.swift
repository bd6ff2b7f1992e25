import Foundation
import Logging
import NIOCore
import NIOPosix
import RedisClient
import Synchronization
import TestSupport
import Testing

@Suite("A client and a real Redis", .serialized)
struct RedisClientTests {
    private func whole(_ client: RedisClient, within limit: Duration) async -> Bool {
        await eventually(within: limit) { await client.isReady }
    }

    @Test("Commands are answered, wrong types come back as error replies")
    func commands() async throws {
        try await RedisServer.with { server in
            try await withClient(.local(server)) { client in
                #expect(await whole(client, within: .seconds(2)))
                #expect(
                    try await client.send(RedisCommand("HSET", "program:1", "programName", "a b", "valid", "true"))
                        == .integer(2)
                )
                let reply = try await client.send(.hashGetAll(prefix: "program:", id: "1"))
                #expect(reply.elements?.compactMap(\.text) == ["programName", "a b", "valid", "true"])
                #expect(try await client.send(.hashGetAll(prefix: "", id: "absent")) == .array([]))
                _ = try await client.send(RedisCommand("SET", "text", "x"))
                let wrong = try await client.send(RedisCommand("HGETALL", "text"))
                #expect(wrong.errorText?.hasPrefix("WRONGTYPE") == true)
                #expect(await client.isReady)
            }
        }
    }

    @Test("The commands of one tick come back in order, each completion once")
    func pipelining() async throws {
        try await RedisServer.with { server in
            var configuration = try RedisConfiguration.local(server)
            // The order is meant here, not the speed of a debug build.
            configuration.commandTimeout = .seconds(5)
            try await withClient(configuration) { client in
                #expect(await whole(client, within: .seconds(2)))
                let replies = await echoes(10_000, through: client)
                let areInOrder = replies == (0..<10_000).map { "\($0)" }
                #expect(areInOrder)
            }
        }
    }

    private func echoes(_ count: Int, through client: RedisClient) async -> [String] {
        let gathered = Locked<[String]>([])
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            client.loopExecute { client in
                for number in 0..<count {
                    client.send(RedisCommand("ECHO", "\(number)")) { result in
                        let text = (try? result.get().text) ?? "failed"
                        if gathered.withLock({
                            $0.append(text)
                            return $0.count == count
                        }) {
                            done.resume()
                        }
                    }
                }
            }
        }
        return gathered.get()
    }

    @Test("Above the bound of outstanding commands nothing is sent and the caller knows at once")
    func bound() async throws {
        try await RedisServer.with { server in
            var configuration = try RedisConfiguration.local(server)
            configuration.maximumPendingCommands = 10
            try await withClient(configuration) { client in
                #expect(await whole(client, within: .seconds(2)))
                let replies = await echoes(12, through: client)
                #expect(replies.prefix(2) == ["failed", "failed"])
                #expect(replies.count == 12)
                let echo = try await client.send(RedisCommand("ECHO", "later"))
                #expect(echo.text == "later")
            }
        }
    }

    @Test("With Redis absent commands fail at once, and all is well within two seconds after it appears")
    func absentAtStart() async throws {
        let server = try RedisServer()
        defer { server.remove() }
        try await withClient(.local(server)) { client in
            let begin = ContinuousClock.now
            await #expect(throws: RedisError.self) { try await client.send(RedisCommand("PING")) }
            #expect(ContinuousClock.now - begin < .milliseconds(50) * Machine.stretch)
            try await Task.sleep(for: .seconds(2))
            #expect(await client.lastFailure?.code == .disconnected)
            try server.start()
            #expect(await whole(client, within: .seconds(2)))
        }
    }

    @Test("A killed Redis is found at once and its successor is used within two seconds")
    func killed() async throws {
        try await RedisServer.with { server in
            try await withClient(.local(server)) { client in
                #expect(await whole(client, within: .seconds(2)))
                server.kill()
                #expect(await eventually(within: .seconds(1)) { await !client.isReady })
                try server.start()
                #expect(await whole(client, within: .seconds(2)))
            }
        }
    }

    @Test("A Redis that stands still costs a caller 60 milliseconds at most and is whole a second after it goes on")
    func standsStill() async throws {
        try await RedisServer.with { server in
            try await withClient(.local(server)) { client in
                #expect(await whole(client, within: .seconds(2)))
                server.pause()
                let end = ContinuousClock.now + .seconds(4)
                var slowest = Duration.zero
                while ContinuousClock.now < end { slowest = max(slowest, await client.durationOfFailure()) }
                #expect(slowest < .milliseconds(60) * Machine.stretch)
                #expect(await !client.isReady)
                server.resume()
                #expect(await whole(client, within: .seconds(1)))
                let echo = try await client.send(RedisCommand("ECHO", "back"))
                #expect(echo.text == "back")
            }
        }
    }

    @Test("A late reply is discarded and the connection stays")
    func lateReply() async throws {
        try await RedisServer.with { server in
            try await withClient(.local(server)) { client in
                #expect(await whole(client, within: .seconds(2)))
                let before = try await client.send(RedisCommand("CLIENT", "ID"))
                server.pause()
                await #expect(throws: RedisError.self) { try await client.send(RedisCommand("ECHO", "late")) }
                server.resume()
                #expect(await eventually { (try? await client.send(RedisCommand("ECHO", "next")).text) == "next" })
                #expect(try await client.send(RedisCommand("CLIENT", "ID")) == before)
            }
        }
    }

    @Test("A user with password is let in, a wrong password is refused and retried until it is right")
    func users() async throws {
        var options = RedisServer.Options()
        options.configuration = ["user anna on >p@ss ~program:* +hgetall", "user default on >main ~* &* +@all"]
        try await RedisServer.with(options) { server in
            let right = try RedisConfiguration(url: "redis://anna:p%40ss@127.0.0.1:\(server.port)")
            try await withClient(right) { client in
                #expect(await whole(client, within: .seconds(2)))
                #expect(try await client.send(RedisCommand("HGETALL", "program:1")) == .array([]))
                let denied = try await client.send(RedisCommand("FLUSHALL"))
                #expect(denied.errorText?.hasPrefix("NOPERM") == true)
            }
            try await withClient(RedisConfiguration(url: "redis://:main@127.0.0.1:\(server.port)")) { client in
                #expect(await whole(client, within: .seconds(2)))
            }
            for url in ["redis://anna:wrong@127.0.0.1:\(server.port)", "redis://127.0.0.1:\(server.port)"] {
                try await withClient(RedisConfiguration(url: url)) { client in
                    #expect(await eventually { await client.lastFailure?.code == .refused })
                    #expect(await !client.isReady)
                }
            }
            try await withClient(RedisConfiguration(url: "redis://anna:new@127.0.0.1:\(server.port)")) { client in
                #expect(await eventually { await client.lastFailure?.code == .refused })
                try server.cli(
                    "--user",
                    "default",
                    "--pass",
                    "main",
                    "--no-auth-warning",
                    "ACL",
                    "SETUSER",
                    "anna",
                    ">new"
                )
                #expect(await whole(client, within: .seconds(2)))
            }
        }
    }

    @Test("TLS: the certificate and the name in it are verified")
    func encryption() async throws {
        var options = RedisServer.Options()
        options.usesTLS = true
        options.configuration = ["bind 127.0.0.1 127.0.0.2"]
        try await RedisServer.with(options) { server in
            let authority = server.certificateAuthority
            for host in ["127.0.0.1", "localhost"] {
                let trusted = try RedisConfiguration(
                    url: "rediss://\(host):\(server.port)",
                    certificateAuthority: authority
                )
                try await withClient(trusted) { client in
                    #expect(await whole(client, within: .seconds(2)))
                    let echo = try await client.send(RedisCommand("ECHO", "sealed"))
                    #expect(echo.text == "sealed")
                }
            }
            // Not signed by the system's authorities.
            try await withClient(RedisConfiguration(url: "rediss://127.0.0.1:\(server.port)")) { client in
                #expect(await eventually { await client.lastFailure?.code == .refused })
            }
            // Signed, but for other addresses.
            let elsewhere = "rediss://127.0.0.2:\(server.port)"
            try await withClient(RedisConfiguration(url: elsewhere, certificateAuthority: authority)) { client in
                #expect(await eventually { await client.lastFailure?.code == .refused })
                #expect(await !client.isReady)
            }
            // Plain text where TLS is spoken.
            try await withClient(RedisConfiguration(url: "redis://127.0.0.1:\(server.port)")) { client in
                #expect(await eventually { await client.lastFailure != nil })
                #expect(await !client.isReady)
            }
        }
    }

    @Test("A stopped client fails what waits and can be started again")
    func stops() async throws {
        try await RedisServer.with { server in
            try await withClient(.local(server)) { client in
                #expect(await whole(client, within: .seconds(2)))
                server.pause()
                let waiting = Task { try await client.send(RedisCommand("PING")) }
                await client.stop()
                await #expect(throws: RedisError.self) { try await waiting.value }
                server.resume()
                await client.start()
                #expect(await whole(client, within: .seconds(2)))
            }
        }
    }

    @Test("Changes of state are told")
    func observer() async throws {
        try await RedisServer.with { server in
            try await withClient(.local(server)) { client in
                let told = Locked<[Bool]>([])
                await client.observeState { state in told.withLock { $0.append(state) } }
                #expect(await eventually { told.get().last == true })
                server.kill()
                #expect(await eventually { told.get().last == false })
                try server.start()
                #expect(await eventually { told.get().last == true })
            }
        }
    }
}

extension RedisClient {
    /// Calls `body` on the client's loop, as a verticle there does.
    nonisolated func loopExecute(_ body: @escaping @Sendable (isolated RedisClient) -> Void) {
        Task { await self.run(body) }
    }

    /// How long a command takes to fail, measured on the loop; then a pause of five milliseconds.
    func durationOfFailure() async -> Duration {
        let begin = ContinuousClock.now
        let duration = await withCheckedContinuation { continuation in
            send(RedisCommand("PING")) { _ in continuation.resume(returning: ContinuousClock.now - begin) }
        }
        try? await Task.sleep(for: .milliseconds(5))
        return duration
    }

    private func run(_ body: @Sendable (isolated RedisClient) -> Void) { body(self) }
}
