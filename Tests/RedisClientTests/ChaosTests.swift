import NIOCore
import RedisClient
import TestSupport
import Testing

@Suite("A client in bad weather", .serialized)
struct ChaosTests {
    /// How often each command was told its result, by what it was told.
    fileprivate struct Tally {
        var sent = 0
        var told = 0
        var twice = 0
        var wrong = 0
        var answered = 0
    }

    @Test("Whatever happens to Redis, each command is told its own result exactly once")
    func exactlyOnce() async throws {
        try await RedisServer.with { server in
            var configuration = try RedisConfiguration.local(server)
            configuration.lateReplyLimit = .milliseconds(100)
            try await withClient(configuration) { client in
                #expect(await eventually { await client.isReady })
                let tally = Locked(Tally())
                let flood = Task {
                    while !Task.isCancelled {
                        await client.flood(50) { tally.count($0) }
                        try? await Task.sleep(for: .milliseconds(1))
                    }
                }
                for round in 0..<6 {
                    try await Task.sleep(for: .milliseconds(150))
                    switch round % 3 {
                    case 0:
                        server.pause()
                        try await Task.sleep(for: .milliseconds(80))
                        server.resume()
                    case 1:
                        try server.cli("CLIENT", "KILL", "TYPE", "normal")
                    default:
                        server.kill()
                        try server.start()
                    }
                }
                #expect(await eventually { await client.isReady })
                try await Task.sleep(for: .milliseconds(200))
                flood.cancel()
                await flood.value
                #expect(await eventually { tally.get().told == tally.get().sent })
                let end = tally.get()
                #expect(end.twice == 0)
                #expect(end.wrong == 0)
                #expect(end.answered > 100)
                #expect(end.sent > end.answered)
            }
        }
    }
}

extension Locked where Value == ChaosTests.Tally {
    /// Counts a command as sent and gives what is to be called with its result.
    fileprivate func count(_ number: Int) -> @Sendable (Result<RESPValue, RedisError>) -> Void {
        withLock { $0.sent += 1 }
        let calls = Locked<Int>(0)
        return { result in
            let call = calls.withLock { count in
                count += 1
                return count
            }
            self.withLock { tally in
                if call > 1 { tally.twice += 1 } else { tally.told += 1 }
                guard case .success(let value) = result else { return }
                tally.answered += 1
                if value.text != "\(number)" { tally.wrong += 1 }
            }
        }
    }
}

extension RedisClient {
    /// Sends commands in one tick; each asks for a text of its own.
    fileprivate func flood(
        _ count: Int,
        _ completion: @Sendable (Int) -> @Sendable (Result<RESPValue, RedisError>) -> Void
    ) {
        for _ in 0..<count {
            let number = Int.random(in: 0..<1_000_000_000)
            send(RedisCommand("ECHO", "\(number)"), completion: completion(number))
        }
    }
}
