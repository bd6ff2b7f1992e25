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
            Several processes may share a Redis or Kinesis stream. Every flag is also an environment variable \
            (--dead-letter is ADTRACK_DEAD_LETTER) and a key of the file given with --config.

            EXAMPLES
              adtrack consume --from file:./adtrack-data/events --to sqlite:./adtrack-data/events.sqlite
              adtrack consume --from 'redis:events?url=redis://127.0.0.1:6379' --to sqlite:events.sqlite
              adtrack consume --from 'kinesis:events?region=eu-central-1' --to dynamodb:events
              adtrack report --from sqlite:./adtrack-data/events.sqlite
            """
    )

    static let sources = "file:DIR, redis:KEY[?url=redis://…] or kinesis:STREAM[?region=…&endpoint=URL]"
    static let tables = "sqlite:PATH or dynamodb:TABLE[?region=…&endpoint=URL]"

    @Option(help: ArgumentHelp("The stream: \(sources).", valueName: "stream")) var from: String?
    @Option(help: ArgumentHelp("The table: \(tables).", valueName: "table")) var to: String?
    @Flag(help: "Make the DynamoDB tables TABLE and TABLE-leases where they are not there.") var createTable = false
    @OptionGroup var options: StreamOptions

    func run() async throws {
        let settings = try await self.options.settings([
            (.from, self.from), (.to, self.to), (.createTable, self.createTable ? "true" : nil),
        ])
        let configuration = try StreamConfiguration(settings, managementPort: 9091)
        let from = try settings.address(.from, forms: Self.sources)
        let to = try settings.address(.to, forms: Self.tables)
        switch from.scheme {
        case "file", "kinesis": break
        // Judged before a table is made.
        case "redis": _ = try from.redis(settings)
        default: throw Settings.refusal(.from, from.scheme + ":", "write \(Self.sources)")
        }
        LoggingSystem.bootstrap { _ in LineLogHandler(logLevel: configuration.logLevel) }
        let run = Consumption(
            settings: settings,
            configuration: configuration,
            from: from,
            to: to,
            logger: Logger(label: "adtrack")
        )
        switch to.scheme {
        case "sqlite": try await run.intoSQLite()
        case "dynamodb": try await run.intoDynamoDB()
        default: throw Settings.refusal(.to, to.scheme + ":", "write \(Self.tables)")
        }
    }
}

/// A source and a table, put together.
private struct Consumption {
    let settings: Settings
    let configuration: StreamConfiguration
    let from: StreamAddress
    let to: StreamAddress
    let logger: Logger
    let side = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    func intoSQLite() async throws {
        let table: SQLiteEventTable
        do {
            table = try SQLiteEventTable(path: self.to.name)
        } catch {
            throw StartError("the table can't be opened: \(error); give --to a path that can be written to")
        }
        try await self.run(into: table, positions: table)
        try? table.close()
    }

    func intoDynamoDB() async throws {
        let services = try AWSServices(logger: self.logger)
        let table = DynamoDBEventTable(try services.dynamoDB(self.to), table: self.to.name)
        if try self.settings.truth(.createTable) {
            do {
                try await table.create()
            } catch {
                throw StartError("--create-table: \(error)")
            }
        }
        try await self.run(into: table, positions: table.leases)
        await services.shutdown()
    }

    private func run(into table: some EventTable, positions: some LeaseStore) async throws {
        let source = try await self.source(positions)
        let consumer = StreamConsumer(
            source,
            to: table,
            deadLetters: try await self.configuration.deadLetterPlace(on: self.side.next(), logger: self.logger),
            limits: self.configuration.limits,
            logger: self.logger
        )
        try await StreamService(
            consumer,
            words: .consume,
            configuration: self.configuration,
            route: (source.name, "\(self.to.scheme):\(self.to.name)"),
            logger: self.logger
        ).run()
    }

    private func source(_ positions: some LeaseStore) async throws -> any RecordSource {
        switch self.from.scheme {
        case "file": EventFilesSource(directory: self.from.name, checkpoints: positions)
        case "kinesis": try self.configuration.kinesisSource(self.from, positions, logger: self.logger)
        default:
            try await self.configuration.redisSource(
                self.from,
                field: "event",
                self.settings,
                on: self.side.next(),
                logger: self.logger
            )
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

    func truth(_ setting: Setting) throws -> Bool {
        guard let text = self.text(setting) else { return false }
        guard let truth = ["true": true, "1": true, "false": false, "0": false][text.lowercased()] else {
            throw Self.refusal(setting, text, "write true or false")
        }
        return truth
    }
}
