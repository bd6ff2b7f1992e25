import Foundation
import GRDB
import SwiftProtobuf
import TestSupport
import TrackingModel

/// A running `adtrack consume` or `adtrack update`.
struct StreamCommand {
    let process: ServiceProcess
    let managementPort: Int

    static func start(_ arguments: [String], environment: [String: String] = [:]) async throws -> StreamCommand {
        let process = try ServiceProcess(
            Binary.path(),
            arguments + ["--management-port", "0"],
            environment: environment
        )
        do {
            let line = try await process.line { $0.contains("management=") }
            let digits = line.split(separator: " ").first { $0.hasPrefix("management=") }?.split(separator: ":").last
            guard let port = digits.flatMap({ Int($0) }) else { throw ServiceFailure("no port in: \(line)") }
            return StreamCommand(process: process, managementPort: port)
        } catch {
            await process.end()
            throw error
        }
    }

    /// Starts one and ends it however `body` ends.
    static func with(
        _ arguments: [String],
        environment: [String: String] = [:],
        isolation: isolated (any Actor)? = #isolation,
        _ body: (StreamCommand) async throws -> Void
    ) async throws {
        let command = try await start(arguments, environment: environment)
        do { try await body(command) } catch {
            await command.process.end()
            throw error
        }
        await command.process.end()
    }

    func manage(_ target: String) throws -> RawResponse { try RawConnection(port: managementPort).exchange(target) }

    func metric(_ name: String, _ labels: [String: String] = [:]) throws -> Double? {
        try Metrics(text: manage("/metrics").text).value(name, labels: labels)
    }

    /// Ends it as an operator would.
    func stop() async throws -> ServiceProcess.Exit {
        process.signal(SIGTERM)
        return try await process.exit()
    }
}

/// The table `events` of a database, as text.
enum EventRows {
    static func read(_ path: String) throws -> [[String: String]] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        return try DatabaseQueue(path: path, configuration: configuration).read { database in
            guard try database.tableExists("events") else { return [] }
            return try Row.fetchAll(database, sql: "SELECT * FROM events").map { row in
                Dictionary(uniqueKeysWithValues: row.map { name, value in (name, "\(value.storage.value ?? "")") })
            }
        }
    }

    static func ids(_ path: String) throws -> [String] { try read(path).compactMap { $0["message_id"] } }
}

/// How far a database's sources are read, and by whom.
enum EventPositions {
    static func read(_ path: String) throws -> [String: String] {
        try DatabaseQueue(path: path).read { database in
            let rows = try Row.fetchAll(database, sql: "SELECT part, position FROM checkpoints")
            return Dictionary(rows.map { ($0[0] as String, $0[1] as String) }) { first, _ in first }
        }
    }

    /// How many parts each owner has; the empty one is nobody.
    static func owners(_ path: String) throws -> [String: Int] {
        try DatabaseQueue(path: path).read { database in
            let rows = try Row.fetchAll(database, sql: "SELECT owner, count(*) FROM leases GROUP BY owner")
            return Dictionary(rows.map { ($0[0] as String, $0[1] as Int) }) { first, _ in first }
        }
    }
}

/// The dead letters of a directory, a dictionary each.
enum DeadLetters {
    static func read(_ directory: String) throws -> [[String: String]] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else { return [] }
        return try names.filter { $0.hasSuffix(".jsonl") }.sorted().flatMap { name in
            try String(contentsOfFile: directory + "/" + name, encoding: .utf8).split(separator: "\n")
                .map { try JSONDecoder().decode([String: String].self, from: Data($0.utf8)) }
        }
    }
}

extension RedisServer {
    /// Appends entries of one field, pipelined.
    func append(_ values: [[UInt8]], to key: String, field: String) throws {
        var bytes = Data()
        for value in values {
            let arguments = [Array("XADD".utf8), Array(key.utf8), Array("*".utf8), Array(field.utf8), value]
            bytes += Data("*\(arguments.count)\r\n".utf8)
            for argument in arguments { bytes += Data("$\(argument.count)\r\n".utf8) + argument + Data("\r\n".utf8) }
        }
        try self.cli(["--pipe"], input: bytes)
    }
}

/// An event's bytes as a sink hands them over.
func eventBytes(_ id: String) throws -> [UInt8] {
    try Adtrack_TrackingEvent.with {
        $0.programid = "p"
        $0.messageID = id
        $0.isValid = true
        $0.time = 1_795_273_520_997
    }.serializedBytes()
}
