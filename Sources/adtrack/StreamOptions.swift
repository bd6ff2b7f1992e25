import ArgumentParser

/// The flags that `adtrack consume` and `adtrack update` share, as text.
struct StreamOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Settings from a file; flags and environment are stronger.", valueName: "x.yaml|x.json")
    )
    var config: String?

    @Option(
        help: ArgumentHelp(
            "Where unusable records go: file:DIR, redis:KEY or sqs:URL. (default: file:./adtrack-data/dead-letters)",
            valueName: "place"
        )
    )
    var deadLetter: String?

    @Option(help: "After so long a dead consumer's share of a Redis stream is taken over. (default: 10s)")
    var claimIdle: String?
    @Option(help: "After so long a dead worker's shards of a Kinesis stream are taken over. (default: 10s)")
    var leaseDuration: String?
    @Option(help: "Most records of a batch. (default: 500)") var batchRecords: String?
    @Option(help: "Most bytes of a batch. (default: 5MiB)") var batchBytes: String?

    @Option(help: ArgumentHelp("redis://[user:password@]host[:port] or rediss://…", valueName: "url"))
    var redis: String?
    @Option(name: .customLong("redis-ca"), help: "Authorities to trust for rediss://. (default: the system's)")
    var redisCA: String?
    @Option(help: "The deadline of a command to Redis. (default: 5s)") var redisTimeout: String?

    @Option(help: "Address of the management port. (default: 127.0.0.1)") var managementHost: String?
    @Option(help: "Management port; 0 takes any free one. (default: 9091 for consume, 9092 for update)")
    var managementPort: String?
    @Option(help: "trace, debug, info, notice, warning, error, critical. (default: info)") var logLevel: String?

    /// - Parameter more: what one of the commands takes besides.
    func settings(_ more: [(Setting, String?)]) async throws -> Settings {
        let texts: [(Setting, String?)] = [
            (.deadLetter, deadLetter), (.claimIdle, claimIdle), (.leaseDuration, leaseDuration),
            (.batchRecords, batchRecords),
            (.batchBytes, batchBytes), (.redis, redis), (.redisCA, redisCA), (.redisTimeout, redisTimeout),
            (.managementHost, managementHost), (.managementPort, managementPort), (.logLevel, logLevel),
        ]
        var given: [String: [String]] = [:]
        for (setting, text) in texts + more {
            if let text { given[setting.flag] = [text] }
        }
        let environment = Adtrack.environment()
        return try await Settings(flags: given, environment: environment, file: config ?? environment["ADTRACK_CONFIG"])
    }
}
