import Logging
import NIOCore
import NIOPosix
import ProgramCache
import RedisClient
import Synchronization
import TestSupport
import Testing
import TrackingModel

@Suite("Programs in Redis, read from another loop", .serialized, .timeLimit(.minutes(1)))
struct RedisProgramsTests {
    /// A source that is asked on one loop and has its connection on another.
    private func withPrograms<R>(
        _ server: RedisServer,
        _ body: (RedisPrograms, _ asking: any EventLoop) async throws -> R
    ) async throws -> R {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let (asking, reading) = (group.next(), group.next())
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let configuration = try RedisConfiguration(url: server.url)
        let client = RedisClient(configuration, on: reading, logger: logger)
        let programs = RedisPrograms(client, on: reading, for: asking, keyPrefix: "p:")
        let result: Result<R, any Error>
        do {
            result = .success(try await body(programs, asking))
        } catch {
            result = .failure(error)
        }
        await programs.stop()
        try await group.shutdownGracefully()
        return try result.get()
    }

    /// Asks for all in one tick, and notes what comes back, and where.
    private func read(_ ids: [String], _ programs: RedisPrograms, on asking: any EventLoop) async throws -> [String] {
        let found: Mutex<[String]> = Mutex([])
        let source = programs.source
        let ids = try ids.map { try #require(ProgramID($0)) }
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            asking.execute {
                for id in ids {
                    source.read(id) { reading in
                        let place = asking.inEventLoop ? "" : " elsewhere"
                        let count = found.withLock {
                            $0.append(Self.text(id, reading) + place)
                            return $0.count
                        }
                        if count == ids.count { done.resume() }
                    }
                }
            }
        }
        return found.withLock { $0 }
    }

    private static func text(_ id: ProgramID, _ reading: ProgramReading) -> String {
        switch reading {
        case .program(let program): "\(id.text) is \(program.name)"
        case .absent: "\(id.text) is absent"
        case .malformed: "\(id.text) is malformed"
        case .unreachable: "\(id.text) is unreachable"
        }
    }

    @Test("what is asked for in one tick comes back in order, on the loop that asked")
    func inOrder() async throws {
        try await RedisServer.with { server in
            for index in 0..<50 where index % 5 != 0 {
                _ = try server.cli("HSET", "p:\(index)", "programName", "name \(index)", "valid", "true")
            }
            _ = try server.cli("SET", "p:text", "x")
            try await self.withPrograms(server) { programs, asking in
                #expect(!programs.isReady)
                await programs.start()
                #expect(await eventually(within: .seconds(5)) { programs.isReady })
                #expect(programs.source.isReachable())
                let ids = (0..<50).map { "\($0)" } + ["text"]
                let expected =
                    (0..<50).map { $0 % 5 == 0 ? "\($0) is absent" : "\($0) is name \($0)" } + ["text is malformed"]
                let first = try await self.read(ids, programs, on: asking)
                #expect(first == expected)
                // Nothing of that tick is left.
                let second = try await self.read(["1", "2"], programs, on: asking)
                #expect(second == ["1 is name 1", "2 is name 2"])
            }
        }
    }

    @Test("without a connection nothing can be reached, and whoever asks nevertheless is told so")
    func unreachable() async throws {
        try await RedisServer.with { server in
            try await self.withPrograms(server) { programs, asking in
                #expect(!programs.source.isReachable())
                let before = try await self.read(["1"], programs, on: asking)
                #expect(before == ["1 is unreachable"])
                await programs.start()
                #expect(await eventually(within: .seconds(5)) { programs.isReady })
                server.kill()
                #expect(await eventually(within: .seconds(5)) { !programs.isReady })
                let after = try await self.read(["1"], programs, on: asking)
                #expect(after == ["1 is unreachable"])
            }
        }
    }
}
