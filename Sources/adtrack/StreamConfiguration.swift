import ArgumentParser
import Logging
import NIOCore
import RedisClient
import StreamSource

/// What `consume` and `update` are told alike, with its defaults.
struct StreamConfiguration {
    var deadLetter: DeadLetterAddress
    var claimIdle: Duration
    var leaseDuration: Duration
    var limits = BatchLimit()
    var managementHost: String
    var managementPort: Int
    var logLevel: Logger.Level

    enum DeadLetterAddress {
        case files(String)
        case stream(String, RedisConfiguration)
        case queue(StreamAddress)
    }

    init(_ settings: Settings, managementPort: Int) throws {
        let forms = "file:DIR, redis:KEY[?url=redis://…] or sqs:URL"
        let text = settings.text(.deadLetter) ?? "file:./adtrack-data/dead-letters"
        let address = try StreamAddress(text, .deadLetter, forms: forms)
        switch address.scheme {
        case "file": self.deadLetter = .files(address.name)
        case "redis": self.deadLetter = .stream(address.name, try address.redis(settings))
        case "sqs":
            _ = try AWSServices.endpoint(ofQueue: address)
            self.deadLetter = .queue(address)
        default: throw Settings.refusal(.deadLetter, address.scheme + ":", "write \(forms)")
        }
        let idle: ClosedRange<Duration> = .milliseconds(100) ... .seconds(86_400)
        self.claimIdle = try settings.time(.claimIdle, default: .seconds(10), in: idle)
        self.leaseDuration = try settings.time(.leaseDuration, default: .seconds(10), in: idle)
        self.limits.records = try settings.integer(.batchRecords, default: 500, in: 1...5000)
        self.limits.bytes = try settings.bytes(.batchBytes, default: 5 << 20, in: 1024...(64 << 20))
        self.managementHost = settings.text(.managementHost) ?? "127.0.0.1"
        self.managementPort = try settings.integer(.managementPort, default: managementPort, in: 0...65_535)
        self.logLevel = try settings.choice(.logLevel, default: .info)
    }

    /// A member of the stream's group; started, and stopped by whoever reads from it.
    func redisSource(
        _ address: StreamAddress,
        field: String,
        _ settings: Settings,
        on loop: any EventLoop,
        logger: Logger
    ) async throws -> RedisStreamSource {
        var redis = try address.redis(settings)
        // Redis itself waits 200 ms for entries.
        redis.commandTimeout = max(redis.commandTimeout, .seconds(1))
        let configuration = RedisStreamSource.Configuration(key: address.name, field: field, claimIdle: self.claimIdle)
        let source = RedisStreamSource(configuration, redis: redis, on: loop, logger: logger)
        await source.start()
        return source
    }

    /// A worker that shares the stream's shards with others through `leases`.
    func kinesisSource(_ address: StreamAddress, _ leases: some LeaseStore, logger: Logger) throws -> KinesisSource {
        KinesisSource(
            try AWSServices(logger: logger).kinesis(address),
            stream: address.name,
            store: leases,
            leaseDuration: self.leaseDuration,
            logger: logger
        )
    }

    func deadLetterPlace(on loop: any EventLoop, logger: Logger) async throws -> any DeadLetterPlace {
        switch self.deadLetter {
        case .files(let directory): return DeadLetterFiles(directory: directory)
        case .stream(let key, let redis):
            let place = DeadLetterStream(key: key, redis: redis, on: loop, logger: logger)
            await place.start()
            return place
        case .queue(let address): return DeadLetterQueue(try AWSServices(logger: logger).queue(address))
        }
    }
}
