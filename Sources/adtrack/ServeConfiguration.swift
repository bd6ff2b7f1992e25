import ArgumentParser
import EventJournal
import HTTPIngress
import Logging
import NIOCore
import ProgramCache
import RedisClient
import StreamSink

/// Everything `adtrack serve` is told, with its defaults.
struct ServeConfiguration {
    enum CoreData {
        case redis(RedisConfiguration, keyPrefix: String, channel: String)
        case file(String)
        case sample
    }

    var host = "0.0.0.0"
    var port = 8080
    var maxConnections = 10_000
    var ingress = IngressConfiguration()
    var managementHost = "127.0.0.1"
    var managementPort = 9090
    var coreData = CoreData.sample
    var cache = ProgramCache.Limits()
    var journal = JournalConfiguration(directory: "./adtrack-data/journal")
    var sinks = SinkConfiguration()
    var eventLoops = 1
    var drainDelay = Duration.zero
    var logLevel = Logger.Level.info
}

/// Every key, its unit, its range and its default; the names stand in `Setting`.
extension ServeConfiguration {
    init(_ settings: Settings, cores: Int) throws {
        self.host = settings.text(.host) ?? self.host
        self.port = try settings.integer(.port, default: self.port, in: 0...65_535)
        self.maxConnections = try settings.integer(.maxConnections, default: self.maxConnections, in: 1...1_000_000)
        self.managementHost = settings.text(.managementHost) ?? self.managementHost
        self.managementPort = try settings.integer(.managementPort, default: self.managementPort, in: 0...65_535)
        self.eventLoops = try settings.integer(.eventLoops, default: cores, in: 1...256)
        self.drainDelay = try settings.time(.drainDelay, default: self.drainDelay, in: .zero ... .seconds(600))
        self.logLevel = try settings.choice(.logLevel, default: self.logLevel)
        try self.readIngress(settings)
        try self.readCoreData(settings)
        try self.readJournal(settings)
        try self.readSinks(settings)
    }

    private mutating func readIngress(_ settings: Settings) throws {
        self.ingress.head.targetBytes = try settings.bytes(.targetMaxBytes, default: 8 << 10, in: 256...(64 << 10))
        self.ingress.head.headBytes = try settings.bytes(.headMaxBytes, default: 16 << 10, in: 512...(64 << 10))
        self.ingress.head.fields = try settings.integer(.headMaxFields, default: 64, in: 1...1000)
        let times: ClosedRange<Duration> = .milliseconds(10) ... .seconds(3600)
        self.ingress.headTimeout = try settings.time(.headTimeout, default: .seconds(5), in: times).inSeconds
        self.ingress.writeTimeout = try settings.time(.writeTimeout, default: .seconds(10), in: times).inSeconds
        self.ingress.idleTimeout = try settings.time(.idleTimeout, default: .seconds(30), in: times).inSeconds
        self.ingress.clientAddress = try settings.choice(.clientAddress, default: .truncated)
    }

    private mutating func readCoreData(_ settings: Settings) throws {
        self.cache.capacity = try settings.integer(.cacheCapacity, default: 100_000, in: 1...100_000_000)
        let days = Duration.seconds(366 * 86_400)
        self.cache.ttl = try settings.time(.cacheTTL, default: .seconds(600), in: .milliseconds(1)...days).inNanoseconds
        self.cache.negativeTTL = try settings.time(.negativeTTL, default: .seconds(2), in: .zero...days).inNanoseconds
        self.cache.staleMax = try settings.time(.staleMax, default: .seconds(86_400), in: .zero...days).inNanoseconds
        let file = settings.text(.programs)
        guard let url = settings.text(.redis) else {
            self.coreData = file.map(CoreData.file) ?? .sample
            return
        }
        guard file == nil else {
            throw ValidationError("--redis and --programs: give one of them, core data has one source")
        }
        var redis: RedisConfiguration
        do {
            // Authorities may be meant for a sink alone.
            let isForSinks = settings.texts(.sink)?.contains { $0.contains("url=rediss://") } ?? false
            let isEncrypted = url.lowercased().hasPrefix("rediss:")
            let authority = isEncrypted || !isForSinks ? settings.text(.redisCA) : nil
            redis = try RedisConfiguration(url: url, certificateAuthority: authority)
        } catch {
            throw ValidationError("--redis: \(error)")
        }
        let timeout = try settings.time(
            .redisTimeout,
            default: .milliseconds(50),
            in: .milliseconds(1) ... .seconds(60)
        )
        redis.commandTimeout = .nanoseconds(Int64(timeout.inNanoseconds))
        self.coreData = .redis(
            redis,
            keyPrefix: settings.text(.redisKeyPrefix) ?? "program:",
            channel: settings.text(.channel) ?? "adtrack.core-data"
        )
    }

    private mutating func readJournal(_ settings: Settings) throws {
        self.journal.directory = settings.text(.journal) ?? self.journal.directory
        self.journal.maxBytes = try settings.bytes(.journalMaxBytes, default: 1 << 30, in: (256 << 10)...(1 << 50))
        self.journal.minFreeBytes = try settings.bytes(.journalMinFree, default: 0, in: 0...(1 << 50))
        self.journal.whenFull = try settings.choice(.journalFull, default: .reject)
        self.journal.durability = try settings.choice(.durability, default: .fsync)
    }

    private mutating func readSinks(_ settings: Settings) throws {
        self.sinks = try SinkConfiguration(settings)
    }
}

extension SinkConfiguration {
    init(_ settings: Settings) throws {
        self.addresses = try settings.texts(.sink)?.map { try SinkAddress($0, settings) } ?? self.addresses
        guard Set(self.addresses.map(\.name)).count == self.addresses.count, !self.addresses.isEmpty else {
            throw ValidationError("--sink: name each sink once, and at least one; options make no other sink of it")
        }
        self.batch.records = try settings.integer(.batchRecords, default: 500, in: 1...100_000)
        self.batch.bytes = try settings.bytes(.batchBytes, default: 5 << 20, in: 1024...(64 << 20))
        let age = try settings.time(.batchAge, default: .milliseconds(100), in: .zero ... .seconds(3600))
        self.batch.age = Int(age / .milliseconds(1))
    }
}

extension Duration {
    /// Settings are at most years long.
    var inNanoseconds: UInt64 { UInt64(max(0, self / .nanoseconds(1))) }
    var inSeconds: Double { self / .seconds(1) }
}
