import ArgumentParser
import CoreDataFeed
import NIOCore
import RedisClient

/// Which Redis, and the names core data has in it, for the commands beside `serve`.
struct RedisOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A YAML or JSON file of settings.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("redis://[user:password@]host[:port] or rediss://…", valueName: "url"))
    var redis: String?

    @Option(
        help: ArgumentHelp("What stands before a program's id in its key. (default: program:)", valueName: "prefix")
    )
    var redisKeyPrefix: String?

    @Option(help: ArgumentHelp("Where changes are published. (default: adtrack.core-data)", valueName: "name"))
    var channel: String?

    @Option(help: ArgumentHelp("A PEM file of the authorities to trust for rediss://.", valueName: "file"))
    var redisCa: String?

    @Option(help: ArgumentHelp("The deadline of a command. (default: 5s)", valueName: "duration"))
    var redisTimeout: String?

    private var given: [String: [String]] {
        let values = [
            (Setting.redis, redis), (.redisKeyPrefix, redisKeyPrefix), (.channel, channel), (.redisCA, redisCa),
            (.redisTimeout, redisTimeout),
        ]
        return values.reduce(into: [:]) { given, value in
            if let text = value.1 { given[value.0.flag] = [text] }
        }
    }

    func settings() async throws -> Settings {
        let environment = Adtrack.environment()
        return try await Settings(
            flags: given,
            environment: environment,
            file: config ?? environment["ADTRACK_CONFIG"]
        )
    }
}

extension RedisConfiguration {
    /// For a command that does nothing without Redis.
    init(_ settings: Settings) throws {
        guard let url = settings.text(.redis), !url.isEmpty else {
            throw ValidationError("say which Redis: --redis redis://host:port, ADTRACK_REDIS or REDIS_HOST")
        }
        try self.init(settings, url: url, setting: Setting.redis.flag)
    }

    /// - Parameter setting: where the URL was written.
    init(_ settings: Settings, url: String, setting: String) throws {
        do {
            try self.init(url: url, certificateAuthority: settings.text(.redisCA))
        } catch {
            throw ValidationError("--\(setting): \(error)")
        }
        let timeout = try settings.time(.redisTimeout, default: .seconds(5), in: .milliseconds(1) ... .seconds(60))
        commandTimeout = TimeAmount(timeout)
    }
}

extension CoreDataKeys {
    init(_ settings: Settings) throws {
        let defaults = CoreDataKeys()
        let channel = settings.text(.channel) ?? defaults.channel
        guard !channel.isEmpty else { throw ValidationError("--channel needs a name") }
        self.init(prefix: settings.text(.redisKeyPrefix) ?? defaults.prefix, channel: channel)
    }
}
