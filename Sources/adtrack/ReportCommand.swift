import ArgumentParser
import EventStore
import Logging
import TrackingModel

/// `adtrack report`: counts the events of a table.
struct ReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Counts a table's events by program, type or hour.",
        discussion: """
            EXAMPLES
              adtrack report --from sqlite:./adtrack-data/events.sqlite
              adtrack report --from sqlite:events.sqlite --by hour --since 2026-11-21T00:00:00Z --csv
            """
    )

    static let tables = "sqlite:PATH or dynamodb:TABLE[?region=…&endpoint=URL]"

    @Option(help: ArgumentHelp("The table: \(tables).", valueName: "table")) var from: String?
    @Option(help: "What to count by: program, type, hour.") var by = "program"
    @Option(help: ArgumentHelp("Only events accepted then or later.", valueName: "RFC 3339 time")) var since: String?
    @Flag(help: "One JSON object.") var json = false
    @Flag(help: "Comma-separated values with a heading.") var csv = false

    func validate() throws {
        if EventReport.Trait(rawValue: self.by) == nil {
            throw ValidationError("--by '\(self.by)': choose program, type, hour")
        }
        if let since, Timestamp(rfc3339: since) == nil {
            throw ValidationError("--since '\(since)': write a time as 2026-11-21T09:00:00Z")
        }
        if self.json, self.csv { throw ValidationError("--json and --csv: choose one of them") }
    }

    func run() async throws {
        let environment = Adtrack.environment()
        let flags = self.from.map { [Setting.from.flag: [$0]] } ?? [:]
        let settings = try await Settings(flags: flags, environment: environment, file: environment["ADTRACK_CONFIG"])
        let address = try settings.address(.from, forms: Self.tables)
        let report = try await self.report(address)
        print(self.json ? report.json : self.csv ? report.csv : report.table, terminator: "")
    }

    private func report(_ address: StreamAddress) async throws -> EventReport {
        let trait = EventReport.Trait(rawValue: self.by) ?? .program
        let since = self.since.flatMap(Timestamp.init(rfc3339:))
        switch address.scheme {
        case "sqlite": return try EventReport(sqlite: address.name, by: trait, since: since)
        case "dynamodb":
            let silent = Logger(label: "adtrack.aws") { _ in SwiftLogNoOpLogHandler() }
            let services = try AWSServices(logger: silent)
            let calls = try services.dynamoDB(address)
            let report = try await EventReport(dynamoDB: calls, table: address.name, by: trait, since: since)
            await services.shutdown()
            return report
        default: throw Settings.refusal(.from, address.scheme + ":", "write \(Self.tables)")
        }
    }
}
