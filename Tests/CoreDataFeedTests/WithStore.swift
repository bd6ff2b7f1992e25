import CoreDataFeed
import Logging
import NIOCore
import NIOPosix
import RedisClient
import TestSupport
import Testing
import TrackingModel
import Verticles

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

func makeProgram(_ id: String, name: String = "name", version: Int64? = nil) throws -> Program {
    var program = Program(id: try #require(ProgramID(id)))
    program.name = name
    program.customerID = 7
    program.isValid = true
    program.version = version
    return program
}

/// A store on a Redis of the test's own.
func withStore<Outcome: Sendable>(
    on server: RedisServer,
    keys: CoreDataKeys = CoreDataKeys(),
    _ body: (ProgramStore) async throws -> Outcome
) async throws -> Outcome {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    var configuration = try RedisConfiguration(url: server.url)
    configuration.commandTimeout = .seconds(5)
    let client = RedisClient(configuration, on: group.next(), logger: .silent)
    await client.start()
    let outcome: Result<Outcome, any Error>
    do {
        try await client.waitUntilReady(for: .seconds(5))
        outcome = .success(try await body(ProgramStore(client, keys: keys)))
    } catch { outcome = .failure(error) }
    await client.stop()
    try await group.shutdownGracefully()
    return try outcome.get()
}

/// What a subscriber hands to the event loops, kept as a cache would: the newest version of each program.
final class Following: Sendable {
    struct Seen {
        var versions: [String: Int64] = [:]
        var names: [String: String] = [:]
        var deleted: [String: Int64] = [:]
        var rechecks = 0
        var changes = 0
        /// Changes of the comparison that were newer than what had been pushed.
        var gaps = 0
        var verified = 0
    }

    let seen = Locked(Seen())

    func receive(_ change: CoreDataChange) {
        seen.withLock { seen in
            seen.changes += 1
            switch change {
            case .program(let program, let origin):
                if case .verified = origin { seen.verified += 1 }
                let version = program.version ?? 0
                guard version > max(seen.versions[program.id.text] ?? -1, seen.deleted[program.id.text] ?? -1) else {
                    return
                }
                if case .verified = origin { seen.gaps += 1 }
                seen.versions[program.id.text] = version
                seen.names[program.id.text] = program.name
            case .deleted(let id, let version, _):
                seen.deleted[id.text] = version ?? 0
                seen.versions[id.text] = nil
            case .recheckAll: seen.rechecks += 1
            case .reread, .replacedAll: break
            }
        }
    }
}

/// A running subscriber and what it hands on.
func withSubscriber<Outcome: Sendable>(
    on server: RedisServer,
    port: Int? = nil,
    _ body: (CoreDataSubscriber, Following) async throws -> Outcome
) async throws -> Outcome {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let (feedLoop, cacheLoop) = (group.next(), group.next())
    let bus = EventBus()
    let address = Address<CoreDataChange>("changes", capacity: 100_000, overflow: .replaceAll(with: .recheckAll))
    let following = Following()
    bus.consumer(address, on: cacheLoop) { following.receive($0) }
    var configuration = try RedisConfiguration(url: server.url)
    if let port { configuration.port = port }
    let subscriber = CoreDataSubscriber(
        configuration,
        topic: bus.topic(address),
        context: VerticleContext(loop: feedLoop, instance: 0, bus: bus, logger: .silent)
    )
    await subscriber.start()
    let outcome: Result<Outcome, any Error>
    do { outcome = .success(try await body(subscriber, following)) } catch { outcome = .failure(error) }
    await subscriber.stop()
    try await group.shutdownGracefully()
    return try outcome.get()
}
