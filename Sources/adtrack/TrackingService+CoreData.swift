import CoreDataFeed
import NIOCore
import NIOPosix
import ProgramCache
import Reactor
import RedisClient
import ServiceLifecycle
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
        to loops: [ReactorLoop]
    ) throws -> CoreDataSupply {
        switch self.configuration.coreData {
        case .redis(let redis, let keyPrefix, let channel):
            return self.deployRedis(redis, keyPrefix: keyPrefix, channel: channel, to: loops)
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
        to loops: [ReactorLoop]
    ) -> CoreDataSupply {
        // Beside every hot loop one for its connection; the subscription is with the first.
        let side = MultiThreadedEventLoopGroup(numberOfThreads: loops.count)
        let programs = zip(loops, side.makeIterator()).map { loop, beside in
            RedisPrograms(
                RedisClient(redis, on: beside, logger: self.logger),
                on: beside,
                for: loop,
                keyPrefix: keyPrefix
            )
        }
        var supply = CoreDataSupply()
        for (loop, programs) in zip(loops, programs) {
            supply.sources[ObjectIdentifier(loop)] = programs.source
        }
        let subscription = Deployment(
            "core data",
            instances: .one,
            on: side.makeIterator(),
            bus: self.bus,
            logger: self.logger
        ) {
            CoreDataSubscriber(
                redis,
                keys: CoreDataKeys(prefix: keyPrefix, channel: channel),
                topic: self.bus.topic(self.changes),
                context: $0
            )
        }
        self.readiness.require("redis") { programs.allSatisfy(\.isReady) }
        for subscriber in subscription.verticles { self.readiness.require("core-data") { subscriber.isCurrent } }
        supply.services = [RedisConnections(programs: programs), subscription]
        supply.start = {
            for programs in programs { await programs.start() }
            try await subscription.start()
        }
        return supply
    }

    private func deployFile(
        _ path: String,
        to loops: [ReactorLoop]
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

    private func supply(_ programs: EmbeddedPrograms, to loops: [ReactorLoop]) -> CoreDataSupply {
        let source = ProgramSource(
            isReachable: { true },
            read: { id, completion in completion(programs.program(id).map(ProgramReading.program) ?? .absent) }
        )
        var supply = CoreDataSupply()
        for loop in loops { supply.sources[ObjectIdentifier(loop)] = source }
        return supply
    }
}

extension ProgramSource {
    /// Knows nothing and says so.
    static var none: ProgramSource {
        ProgramSource(isReachable: { false }, read: { _, completion in completion(.unreachable) })
    }
}

/// The hot loops' connections to Redis, as a service: given up when nobody asks any more.
private struct RedisConnections: Service {
    let programs: [RedisPrograms]

    func run() async throws {
        try? await gracefulShutdown()
        for programs in self.programs { await programs.stop() }
    }
}
