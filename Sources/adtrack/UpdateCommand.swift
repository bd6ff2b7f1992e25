import ArgumentParser
import CoreDataFeed
import Logging
import NIOCore
import NIOPosix
import RedisClient
import StreamSource

/// `adtrack update`: brings changes of programs from a stream to Redis, and so to every running service.
struct UpdateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Stream of core data to Redis, versioned and published.",
        discussion: """
            A record is a program as JSON, or {"programId":"…","version":8,"deleted":true}; in a Redis stream it is the \
            field "program". A file and standard input have one a line and end it; streams are followed until SIGTERM. \
            A record that breaks a rule goes to --dead-letter, the rest goes on.

            EXAMPLES
              adtrack update --from file:programs.jsonl --redis redis://127.0.0.1:6379
              adtrack update --from redis:programs --redis redis://127.0.0.1:6379
              echo '{"programId":"212312","valid":true}' | adtrack update --from - --redis redis://127.0.0.1:6379
            """
    )

    static let sources = "redis:KEY[?url=redis://…], kinesis:STREAM[?region=…&endpoint=URL], file:PATH or -"

    @Option(help: ArgumentHelp("The stream: \(sources).", valueName: "stream")) var from: String?
    @Option(help: "Before the program id in a key; empty writes the older system's. (default: program:)")
    var redisKeyPrefix: String?
    @Option(help: "Pub/sub channel of changes. (default: adtrack.core-data)") var channel: String?
    @OptionGroup var options: StreamOptions

    func run() async throws {
        let settings = try await self.options.settings([
            (.from, self.from), (.redisKeyPrefix, self.redisKeyPrefix), (.channel, self.channel),
        ])
        let configuration = try StreamConfiguration(settings, managementPort: 9092)
        let redis = try RedisConfiguration(settings)
        let keys = try CoreDataKeys(settings)
        LoggingSystem.bootstrap { _ in LineLogHandler(logLevel: configuration.logLevel) }
        let logger = Logger(label: "adtrack")
        let side = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let updater = ProgramUpdater(redis, keys: keys, on: side.next(), logger: logger)
        let source = try await Self.source(settings, configuration, updater.leases, on: side.next(), logger: logger)
        await updater.start()
        let consumer = StreamConsumer(
            source,
            to: updater,
            deadLetters: try await configuration.deadLetterPlace(on: side.next(), logger: logger),
            limits: configuration.limits,
            logger: logger
        )
        try await StreamService(
            consumer,
            words: .update,
            configuration: configuration,
            route: (source.name, "\(redis)"),
            logger: logger
        ).run()
    }

    private static func source(
        _ settings: Settings,
        _ configuration: StreamConfiguration,
        _ leases: RedisLeases,
        on loop: any EventLoop,
        logger: Logger
    ) async throws -> any RecordSource {
        if settings.text(.from) == "-" { return try LineSource(path: "-") }
        let address = try settings.address(.from, forms: Self.sources)
        switch address.scheme {
        case "file":
            do {
                return try LineSource(path: address.name)
            } catch {
                throw StartError("--from: \(error); give a file of one program a line")
            }
        case "kinesis": return try configuration.kinesisSource(address, leases, logger: logger)
        case "redis":
            return try await configuration.redisSource(address, field: "program", settings, on: loop, logger: logger)
        default: throw Settings.refusal(.from, address.scheme + ":", "write \(Self.sources)")
        }
    }
}
