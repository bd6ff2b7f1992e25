import Foundation
import TestSupport
import Testing

/// A service with sinks that a test names, and what its books say of them.
extension Service {
    static func start(
        sinks: [String],
        in directory: TestDirectory,
        arguments: [String] = [],
        environment: [String: String] = [:]
    ) async throws -> Service {
        let named = sinks.flatMap { ["--sink", $0] }
        var setup = Setup(["--journal", directory.journal] + named + arguments)
        setup.hasOwnData = false
        setup.environment = environment
        return try await start(setup, in: directory)
    }

    func delivered(_ sink: String) throws -> Double { try books(of: sink, "delivered") }

    func quarantined(_ sink: String) throws -> Double { try books(of: sink, "quarantined") }

    private func books(of sink: String, _ figure: String) throws -> Double {
        try #require(manage("/ledger").json["sinks"]?.object?[sink]?.object?[figure]?.number)
    }

    /// 0 closed, 1 half open, 2 open.
    func breaker(_ sink: String) throws -> Double {
        try #require(Metrics(self).value("adtrack_sink_breaker_state", labels: ["sink": sink]))
    }

    /// Calls to the sink's stream, answered or not.
    func attempts(_ sink: String) throws -> Double {
        try #require(Metrics(self).value("adtrack_sink_attempts_total", labels: ["sink": sink]))
    }

    /// In seconds.
    func oldestAge(_ sink: String) throws -> Double {
        try #require(Metrics(self).value("adtrack_sink_oldest_event_age_seconds", labels: ["sink": sink]))
    }

    /// Of its process; file pages that it has mapped count too.
    var residentBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/\(process.id)/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    /// Requests at a fixed rate from a process of their own.
    func startLoad(rate: Int, seconds: Int) throws -> ServiceProcess {
        try directory.run(
            Binary.path(),
            ["load", url, "--rate", "\(rate)", "--duration", "\(seconds)s", "--json", "--quiet"]
        )
    }

    func load(rate: Int, seconds: Int) async throws -> LoadSummary {
        let process = try startLoad(rate: rate, seconds: seconds)
        return try await LoadSummary(of: process, within: .seconds(seconds + 30))
    }
}

/// What `adtrack load --json` says at its end.
struct LoadSummary: Decodable {
    var sent: Double
    var accepted: Double
    var errors: Double
    var p99Ms: Double

    /// Waits for its end.
    init(of process: ServiceProcess, within limit: Duration) async throws {
        let exit = try await process.exit(within: limit)
        guard exit == .status(0) else { throw ServiceFailure("the load ended with \(exit): \(process.log)") }
        self = try JSONDecoder().decode(Self.self, from: Data(process.output.utf8))
    }

    var allWereAccepted: Bool { errors == 0 && accepted == sent && sent > 0 }
}
