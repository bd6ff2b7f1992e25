import CoreDataFeed
import NIOCore
import NIOPosix
import ProgramCache
import RedisClient
import ServiceLifecycle
import Synchronization
import TrackingModel
import Verticles

/// Where programs come from: Redis with its channel, or a file, or the built-in sample.
struct CoreDataSupply {
    /// By event loop.
    var sources: [ObjectIdentifier: ProgramSource] = [:]
    var services: [any Service] = []
    var start: @Sendable () async throws -> Void = {}
}

extension TrackingService {
    func deployCoreData(
        to loops: MultiThreadedEventLoopGroup,
        from side: MultiThreadedEventLoopGroup
    ) async throws -> CoreDataSupply {
        switch self.configuration.coreData {
        case .redis(let redis, let keyPrefix, let channel):
            return self.deployRedis(redis, keyPrefix: keyPrefix, channel: channel, to: loops, from: side)
        case .file(let path):
            return try self.deployFile(path, to: loops)
        case .sample:
            return self.supply(EmbeddedPrograms(ProgramsFile.sample), to: loops)
        }
    }

    private func deployRedis(
        _ redis: RedisConfiguration,
        keyPrefix: String,
        channel: String,
        to loops: MultiThreadedEventLoopGroup,
        from side: MultiThreadedEventLoopGroup
    ) -> CoreDataSupply {
        let connected = Connected()
        var supply = CoreDataSupply()
        let clients = loops.makeIterator().map { RedisClient(redis, on: $0, logger: self.logger) }
        for (loop, client) in zip(loops.makeIterator(), clients) {
            supply.sources[ObjectIdentifier(loop)] = .redis(client, keyPrefix: keyPrefix)
        }
        let subscription = Deployment("core data", instances: .one, on: side, bus: self.bus, logger: self.logger) {
            CoreDataSubscriber(
                redis,
                keys: CoreDataKeys(prefix: keyPrefix, channel: channel),
                topic: self.bus.topic(self.changes),
                context: $0
            )
        }
        self.readiness.require("redis") { connected.count == clients.count }
        for subscriber in subscription.verticles { self.readiness.require("core-data") { subscriber.isCurrent } }
        supply.services = [RedisConnections(clients: clients), subscription]
        supply.start = {
            for (loop, client) in clients.enumerated() {
                await client.observeState { connected.set(loop, isReady: $0) }
                await client.start()
            }
            try await subscription.start()
        }
        return supply
    }

    private func deployFile(
        _ path: String,
        to loops: MultiThreadedEventLoopGroup
    ) throws -> CoreDataSupply {
        let watcher: ProgramsFileWatcher
        do {
            watcher = try ProgramsFileWatcher(path: path, topic: self.bus.topic(self.changes), logger: self.logger)
        } catch {
            throw StartError("--programs \(path): \(error)")
        }
        var supply = self.supply(watcher.embedded, to: loops)
        supply.services = [watcher]
        return supply
    }

    private func supply(_ programs: EmbeddedPrograms, to loops: MultiThreadedEventLoopGroup) -> CoreDataSupply {
        let source = ProgramSource(
            isReachable: { true },
            read: { id, completion in completion(programs.program(id).map(ProgramReading.program) ?? .absent) }
        )
        var supply = CoreDataSupply()
        for loop in loops.makeIterator() { supply.sources[ObjectIdentifier(loop)] = source }
        return supply
    }
}

extension ProgramSource {
    /// Knows nothing and says so.
    static var none: ProgramSource {
        ProgramSource(isReachable: { false }, read: { _, completion in completion(.unreachable) })
    }
}

/// Which event loops have Redis.
private final class Connected: Sendable {
    private let loops: Mutex<Set<Int>> = Mutex([])

    var count: Int { self.loops.withLock { $0.count } }

    func set(_ loop: Int, isReady: Bool) {
        self.loops.withLock { loops in
            if isReady { loops.insert(loop) } else { loops.remove(loop) }
        }
    }
}

/// The hot loops' connections to Redis, as a service: given up when nobody asks any more.
private struct RedisConnections: Service {
    let clients: [RedisClient]

    func run() async throws {
        try? await gracefulShutdown()
        for client in self.clients { await client.stop() }
    }
}
