import EventJournal
import Logging
import NIOCore
import ServiceLifecycle
import StreamSink

/// The sinks of a service, or of a replay: one for each address, each at its own position in the journal.
struct SinkDeployment: Sendable {
    let sinks: [any Sink]

    init(_ configuration: SinkConfiguration, reading journal: EventJournal, in directory: String, logger: Logger) throws
    {
        let quarantine = RefusedRecords(journal: directory)
        self.sinks = try configuration.addresses.map { address in
            let sink = try Self.make(address, configuration, journal, quarantine, logger)
            guard let sink else { throw StartError("the journal knows no sink \(address.name)") }
            return sink
        }
    }

    private static func make(
        _ address: SinkAddress,
        _ configuration: SinkConfiguration,
        _ journal: EventJournal,
        _ quarantine: RefusedRecords,
        _ logger: Logger
    ) throws -> (any Sink)? {
        switch address {
        case .file(let directory):
            var settings = FileSinkConfiguration(directory: directory)
            settings.batch = configuration.batch
            return FileSink(settings, name: address.name, from: journal, logger: logger)
        case .redis(let target):
            return Self.stream(address.name, configuration, journal, quarantine, logger) { loop in
                RedisStream(key: target.key, maxLength: target.maxLength, at: target.server, on: loop, logger: logger)
            }
        case .kinesis(let target):
            let stream: KinesisStream
            do { stream = try KinesisStream(target, logger: logger) } catch {
                throw StartError("\(address.name): \(error)")
            }
            return Self.stream(address.name, configuration, journal, quarantine, logger) { _ in stream }
        }
    }

    private static func stream(
        _ name: String,
        _ configuration: SinkConfiguration,
        _ journal: EventJournal,
        _ quarantine: RefusedRecords,
        _ logger: Logger,
        _ makeStream: @Sendable (any EventLoop) -> any RecordStream
    ) -> StreamDelivery? {
        var limits = DeliveryLimits()
        limits.batch = configuration.batch
        return StreamDelivery(
            limits,
            name: name,
            from: journal,
            quarantine: quarantine,
            logger: logger,
            makeStream: makeStream
        )
    }
}

/// Where events go, and in what portions.
struct SinkConfiguration {
    var addresses = [SinkAddress.file(directory: "./adtrack-data/events")]
    var batch = BatchLimits()
}

extension SinkDeployment: Service {
    /// Returns when all of them have ended: they drain side by side, so that a dead one takes no time from the others.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for sink in self.sinks { tasks.addTask { try await sink.run() } }
            try await tasks.waitForAll()
        }
    }
}
