import ArgumentParser
import EventStore
import Logging
import NIOCore
import NIOPosix
import StreamSource

/// `adtrack consume`: brings events from a stream to a table, one row each.
struct ConsumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Stream to table: exactly one row per event.",
        discussion: """
            It follows the stream until SIGTERM. A record that is no event goes to --dead-letter, the rest goes on. \
            Every flag is also an environment variable (--dead-letter is ADTRACK_DEAD_LETTER) and a key of the file \
            given with --config.

            EXAMPLES
              adtrack consume --from file:./adtrack-data/events --to sqlite:./adtrack-data/events.sqlite
              adtrack consume --from 'redis:events?url=redis://127.0.0.1:6379' --to sqlite:events.sqlite
              adtrack report --from sqlite:./adtrack-data/events.sqlite
            """
    )

    static let sources = "file:DIR or redis:KEY[?url=redis://…]"
    static let tables = "sqlite:PATH"

    @Option(help: ArgumentHelp("The stream: \(sources).", valueName: "stream")) var from: String?
    @Option(help: ArgumentHelp("The table: \(tables).", valueName: "table")) var to: String?
    @OptionGroup var options: StreamOptions

    func run() async throws {
        let settings = try await self.options.settings([(.from, self.from), (.to, self.to)])
        let configuration = try StreamConfiguration(settings, managementPort: 9091)
        let from = try settings.address(.from, forms: Self.sources)
        let to = try settings.address(.to, forms: Self.tables)
        guard to.scheme == "sqlite" else { throw Settings.refusal(.to, to.scheme + ":", "write \(Self.tables)") }
        guard ["file", "redis"].contains(from.scheme) else {
            throw Settings.refusal(.from, from.scheme + ":", "write \(Self.sources)")
        }
        LoggingSystem.bootstrap { _ in LineLogHandler(logLevel: configuration.logLevel) }
        let logger = Logger(label: "adtrack")
        let side = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let table = try Self.table(to)
        let source: any RecordSource =
            from.scheme == "file"
            ? EventFilesSource(directory: from.name, checkpoints: table)
            : try await configuration.redisSource(from, field: "event", settings, on: side.next(), logger: logger)
        let consumer = StreamConsumer(
            source,
            to: table,
            deadLetters: await configuration.deadLetterPlace(on: side.next(), logger: logger),
            limits: configuration.limits,
            logger: logger
        )
        try await StreamService(
            consumer,
            words: .consume,
            configuration: configuration,
            route: (source.name, "\(to.scheme):\(to.name)"),
            logger: logger
        ).run(on: side)
        try? table.close()
    }

    private static func table(_ address: StreamAddress) throws -> SQLiteEventTable {
        do {
            return try SQLiteEventTable(path: address.name)
        } catch {
            throw StartError("the table can't be opened: \(error); give --to a path that can be written to")
        }
    }
}

extension Settings {
    func address(_ setting: Setting, forms: String) throws -> StreamAddress {
        guard let text = self.text(setting), !text.isEmpty else {
            throw ValidationError("--\(setting.flag) is missing: write \(forms)")
        }
        return try StreamAddress(text, setting, forms: forms)
    }
}
