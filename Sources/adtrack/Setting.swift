/// One setting with its three names, as people write it on a command line, in an environment or in a file.
struct Setting: Sendable {
    /// Without the dashes; the environment's name follows from it.
    let flag: String
    /// In a configuration file.
    let key: String

    init(_ flag: String, _ key: String) {
        self.flag = flag
        self.key = key
    }

    /// `--redis-key-prefix` is `ADTRACK_REDIS_KEY_PREFIX`.
    var environmentName: String {
        "ADTRACK_" + self.flag.uppercased().replacing("-", with: "_")
    }
}

extension Setting {
    static let host = Setting("host", "http.host")
    static let port = Setting("port", "http.port")
    static let maxConnections = Setting("max-connections", "http.maxConnections")
    static let targetMaxBytes = Setting("target-max-bytes", "http.targetMaxBytes")
    static let headMaxBytes = Setting("head-max-bytes", "http.headMaxBytes")
    static let headMaxFields = Setting("head-max-fields", "http.headMaxFields")
    static let headTimeout = Setting("head-timeout", "http.headTimeout")
    static let writeTimeout = Setting("write-timeout", "http.writeTimeout")
    static let idleTimeout = Setting("idle-timeout", "http.idleTimeout")
    static let clientAddress = Setting("client-address", "http.clientAddress")
    static let managementHost = Setting("management-host", "management.host")
    static let managementPort = Setting("management-port", "management.port")
    static let redis = Setting("redis", "redis.url")
    static let redisKeyPrefix = Setting("redis-key-prefix", "redis.keyPrefix")
    static let redisCA = Setting("redis-ca", "redis.ca")
    static let redisTimeout = Setting("redis-timeout", "redis.timeout")
    static let channel = Setting("channel", "redis.channel")
    static let programs = Setting("programs", "programs")
    static let cacheCapacity = Setting("cache-capacity", "cache.capacity")
    static let cacheTTL = Setting("cache-ttl", "cache.ttl")
    static let negativeTTL = Setting("negative-ttl", "cache.negativeTTL")
    static let staleMax = Setting("stale-max", "cache.staleMax")
    static let journal = Setting("journal", "journal.directory")
    static let journalMaxBytes = Setting("journal-max-bytes", "journal.maxBytes")
    static let journalMinFree = Setting("journal-min-free", "journal.minFree")
    static let journalFull = Setting("journal-full", "journal.full")
    static let durability = Setting("durability", "journal.durability")
    static let sink = Setting("sink", "sinks")
    static let batchRecords = Setting("batch-records", "batch.records")
    static let batchBytes = Setting("batch-bytes", "batch.bytes")
    static let batchAge = Setting("batch-age", "batch.age")
    static let eventLoops = Setting("event-loops", "eventLoops")
    static let drainDelay = Setting("drain-delay", "drainDelay")
    static let logLevel = Setting("log-level", "log.level")

    /// What `adtrack serve` takes.
    static let ofServe = [
        host, port, maxConnections, targetMaxBytes, headMaxBytes, headMaxFields, headTimeout, writeTimeout, idleTimeout,
        clientAddress, managementHost, managementPort, redis, redisKeyPrefix, redisCA, redisTimeout, channel, programs,
        cacheCapacity, cacheTTL, negativeTTL, staleMax, journal, journalMaxBytes, journalMinFree, journalFull,
        durability, sink, batchRecords, batchBytes, batchAge, eventLoops, drainDelay, logLevel,
    ]
}
