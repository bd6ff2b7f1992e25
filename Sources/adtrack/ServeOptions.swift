import ArgumentParser

/// The flags of `adtrack serve`, as text: what they mean is read together with the environment and the file.
struct ServeOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Settings from a file; flags and environment are stronger.", valueName: "x.yaml|x.json")
    )
    var config: String?

    @Option(help: "Address of the public port. (default: 0.0.0.0)") var host: String?
    @Option(help: "Public port; 0 takes any free one. (default: 8080)") var port: String?
    @Option(help: "Connections at which the listener pauses. (default: 10000)") var maxConnections: String?
    @Option(help: "Longest request target. (default: 8KiB)") var targetMaxBytes: String?
    @Option(help: "Longest request head. (default: 16KiB)") var headMaxBytes: String?
    @Option(help: "Most fields of a request head. (default: 64)") var headMaxFields: String?
    @Option(help: "From a head's first byte to its end. (default: 5s)") var headTimeout: String?
    @Option(help: "How long an answer may stay unread. (default: 10s)") var writeTimeout: String?
    @Option(help: "How long a connection may be silent. (default: 30s)") var idleTimeout: String?
    @Option(help: "What events keep of the client's address: none, truncated, full. (default: truncated)")
    var clientAddress: String?
    @Option(help: "Address of the management port. (default: 127.0.0.1)") var managementHost: String?
    @Option(help: "Management port; 0 takes any free one. (default: 9090)") var managementPort: String?

    @Option(help: ArgumentHelp("Core data: redis://[user:password@]host:port or rediss://…", valueName: "url"))
    var redis: String?
    @Option(help: "Before the program id in a key; empty reads the older system's. (default: program:)")
    var redisKeyPrefix: String?
    @Option(name: .customLong("redis-ca"), help: "Authorities to trust for rediss://. (default: the system's)")
    var redisCA: String?
    @Option(help: "Deadline of a read. (default: 50ms)") var redisTimeout: String?
    @Option(help: "Pub/sub channel of changes. (default: adtrack.core-data)") var channel: String?
    @Option(help: ArgumentHelp("Core data: a JSON file, read again when it changes.", valueName: "file"))
    var programs: String?

    @Option(help: "Programs held by each event loop. (default: 100000)") var cacheCapacity: String?
    @Option(name: .customLong("cache-ttl"), help: "How long before a program is read again. (default: 10m)")
    var cacheTTL: String?
    @Option(name: .customLong("negative-ttl"), help: "How long an unknown id is known to be. (default: 2s)")
    var negativeTTL: String?
    @Option(help: "How long an expired program serves while Redis is away. (default: 24h)") var staleMax: String?

    @Option(help: "Directory of the journal. (default: ./adtrack-data/journal)") var journal: String?
    @Option(help: "Bound of the journal. (default: 1GiB)") var journalMaxBytes: String?
    @Option(help: "Space of the disk to leave. (default: 0)") var journalMinFree: String?
    @Option(help: "At the bound: reject, drop_oldest, answer_unrecorded. (default: reject)") var journalFull: String?
    @Option(help: "What an answer waits for: fsync, write, memory. (default: fsync)") var durability: String?
    @Option(
        help: ArgumentHelp(
            "Where events go; may be given again. (default: file:./adtrack-data/events)",
            valueName: "file:DIR|redis:KEY|kinesis:STREAM"
        )
    )
    var sink: [String] = []
    @Option(help: "Most records of a batch to a sink. (default: 500)") var batchRecords: String?
    @Option(help: "Most bytes of a batch to a sink. (default: 5MiB)") var batchBytes: String?
    @Option(help: "Longest wait for a batch to a sink. (default: 100ms)") var batchAge: String?

    @Option(help: "(default: cores)") var eventLoops: String?
    @Option(help: "After SIGTERM: not ready for that long, still serving. (default: 0s)") var drainDelay: String?
    @Option(help: "trace, debug, info, notice, warning, error, critical. (default: info)") var logLevel: String?

    /// What was given, by flag.
    var given: [String: [String]] {
        let texts: [(Setting, String?)] = [
            (.host, host), (.port, port), (.maxConnections, maxConnections), (.targetMaxBytes, targetMaxBytes),
            (.headMaxBytes, headMaxBytes), (.headMaxFields, headMaxFields), (.headTimeout, headTimeout),
            (.writeTimeout, writeTimeout), (.idleTimeout, idleTimeout), (.clientAddress, clientAddress),
            (.managementHost, managementHost), (.managementPort, managementPort), (.redis, redis),
            (.redisKeyPrefix, redisKeyPrefix), (.redisCA, redisCA), (.redisTimeout, redisTimeout),
            (.channel, channel), (.programs, programs), (.cacheCapacity, cacheCapacity), (.cacheTTL, cacheTTL),
            (.negativeTTL, negativeTTL), (.staleMax, staleMax), (.journal, journal),
            (.journalMaxBytes, journalMaxBytes), (.journalMinFree, journalMinFree), (.journalFull, journalFull),
            (.durability, durability), (.batchRecords, batchRecords), (.batchBytes, batchBytes),
            (.batchAge, batchAge), (.eventLoops, eventLoops), (.drainDelay, drainDelay), (.logLevel, logLevel),
        ]
        var given: [String: [String]] = [:]
        for (setting, text) in texts {
            if let text { given[setting.flag] = [text] }
        }
        if !self.sink.isEmpty { given[Setting.sink.flag] = self.sink }
        return given
    }
}
