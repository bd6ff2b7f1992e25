import AWSTransport
import ArgumentParser
import CoreDataFeed
import EventStore
import Glibc
import LambdaRuntime
import Logging
import NIOCore
import NIOPosix
import RedisClient
import StreamSource

/// The executable as a Lambda function's `bootstrap`: `_HANDLER` says what it does with Kinesis events, the environment
/// how. Clients are made once, before the first event, and used for all.
struct LambdaBootstrap {
    private let address: String
    private let handler: String
    private let logger: Logger

    /// - Returns: nil where this process is no Lambda function, or was started for another command.
    init?(environment: [String: String], arguments: [String]) {
        guard let address = environment["AWS_LAMBDA_RUNTIME_API"], !address.isEmpty else { return nil }
        let words = arguments.dropFirst()
        // An image's command is both its argument and the handler.
        let handler = environment["_HANDLER"] ?? words.first ?? ""
        guard words.isEmpty || Array(words) == [handler] || Array(words) == ["consume"] || Array(words) == ["update"]
        else { return nil }
        self.address = address
        self.handler = handler
        LoggingSystem.bootstrap { _ in
            LineLogHandler(logLevel: environment["ADTRACK_LOG_LEVEL"].flatMap { Logger.Level(rawValue: $0) } ?? .info)
        }
        self.logger = Logger(label: "adtrack")
    }

    /// Returns when it was told to end.
    func run() async throws {
        // Set before there are threads: later on its value is replaced and the environment stays where it is.
        setenv("_X_AMZN_TRACE_ID", "", 0)
        let api: RuntimeAPI
        do { api = try RuntimeAPI(address: self.address) } catch { throw StartError("\(error)") }
        do {
            try await self.serve(api)
        } catch let error as RuntimeAPI.Failure {
            throw StartError("\(error)")
        } catch {
            let sentence = Adtrack.message(for: error).split(separator: "\n").joined(separator: " ")
            try? await api.failInitialisation(FunctionError("Runtime.ConfigInvalid", sentence))
            throw StartError(sentence)
        }
    }

    private func serve(_ api: RuntimeAPI) async throws {
        let settings = try await Settings(
            flags: [:],
            environment: Adtrack.environment(),
            file: Adtrack.environment()["ADTRACK_CONFIG"]
        )
        let configuration = try StreamConfiguration(settings, managementPort: 0)
        switch self.handler {
        case "consume": try await self.consume(api, settings, configuration)
        case "update": try await self.update(api, settings, configuration)
        default: throw StartError("_HANDLER '\(self.handler)': write consume or update")
        }
    }

    private func consume(_ api: RuntimeAPI, _ settings: Settings, _ configuration: StreamConfiguration) async throws {
        let to = try settings.address(.to, forms: ConsumeCommand.tables)
        switch to.scheme {
        case "sqlite":
            let table: SQLiteEventTable
            do { table = try SQLiteEventTable(path: to.name) } catch {
                throw StartError("the table can't be opened: \(error); give ADTRACK_TO a path that can be written to")
            }
            try await self.run(api, table, settings, configuration)
            try? table.close()
        case "dynamodb":
            let services = try AWSServices(logger: self.logger)
            let table = DynamoDBEventTable(try services.dynamoDB(to), table: to.name)
            try await self.run(api, table, settings, configuration)
            await services.shutdown()
        default: throw Settings.refusal(.to, to.scheme + ":", "write \(ConsumeCommand.tables)")
        }
    }

    private func update(_ api: RuntimeAPI, _ settings: Settings, _ configuration: StreamConfiguration) async throws {
        let updater = ProgramUpdater(
            try RedisConfiguration(settings),
            keys: try CoreDataKeys(settings),
            on: MultiThreadedEventLoopGroup(numberOfThreads: 1).next(),
            logger: self.logger
        )
        await updater.start()
        try await self.run(api, updater, settings, configuration)
        await updater.stop()
    }

    /// Without a setting Lambda's own failure destination is where unusable records go.
    private func run(
        _ api: RuntimeAPI,
        _ handler: some RecordHandler,
        _ settings: Settings,
        _ configuration: StreamConfiguration
    ) async throws {
        var deadLetters: (any DeadLetterPlace)?
        if settings.text(.deadLetter) != nil {
            let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            deadLetters = try await configuration.deadLetterPlace(on: loops.next(), logger: self.logger)
        }
        let loop = RuntimeLoop(
            api,
            BatchFunction(handler, deadLetters: deadLetters, logger: self.logger),
            logger: self.logger
        )
        let signals = SignalWatch(logger: self.logger, drain: { loop.stop() }, endNow: {}).begin()
        self.logger.info("waiting for events", metadata: ["function": "\(self.handler)"])
        try await loop.run()
        withExtendedLifetime(signals) {}
    }
}
