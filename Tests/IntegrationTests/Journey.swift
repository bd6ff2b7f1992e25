import Foundation
import TestSupport
import Testing

/// The places between a program and its rows: a stream of programs and tables in moto, a stream of events in the project's
/// own stand-in, which can refuse single entries, and Redis. Both check signatures.
struct Journey {
    /// How many programs there are, `p0` and so on.
    static let programs = 20

    let cloud: Cloud
    let stream: StandIn
    let redis: RedisServer
    let directory: TestDirectory

    var database: String { directory.path + "/events.sqlite" }
    var deadLetters: String { directory.path + "/dead" }

    private var address: String { "kinesis:events?region=us-east-1&endpoint=\(stream.url)" }

    /// Hands it to `body` while `adtrack update` brings the programs to Redis.
    static func with(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (Journey) async throws -> Void
    ) async throws {
        try await Cloud.with { cloud async throws in
            let keys = ["--access-key", cloud.standIn.words[0], "--secret-key", cloud.standIn.words[1]]
            try await StandIn.with("kinesis", ["--shards", "3"] + keys) { stream async throws in
                try await RedisServer.with { redis async throws in
                    try cloud.makeStream("core-data", shards: 2)
                    try cloud.put((0..<Self.programs).map(Self.program), into: "core-data")
                    let update = ["update", "--from", "kinesis:core-data", "--redis", redis.url]
                    try await TestDirectory.with { directory async throws in
                        try await StreamCommand.with(update, environment: cloud.environment) { _ async throws in
                            try await body(Journey(cloud: cloud, stream: stream, redis: redis, directory: directory))
                        }
                    }
                }
            }
        }
    }

    private static func program(_ number: Int) -> [UInt8] {
        Array(
            """
            {"userAgent":"x","programId":"p\(number)","programName":"Program \(number)","checksum":"c\(number)",
             "customerId":\(1000 + number),"customerName":"Customer \(number)","valid":true,"version":\(number + 1)}
            """.utf8
        )
    }

    /// On the journal that the one before it has left.
    func startService() async throws -> Service {
        try await Service.start(
            sinks: [address],
            in: directory,
            arguments: ["--redis", redis.url],
            environment: cloud.environment
        )
    }

    /// A running `adtrack consume`.
    struct Consumer {
        let table: String
        let command: StreamCommand
        /// How many items were put when it was started.
        let puts: Int
    }

    /// One for each table.
    func startConsumers() async throws -> [Consumer] {
        var consumers: [Consumer] = []
        for table in ["dynamodb:events", "sqlite:\(database)"] {
            let arguments = [
                "consume", "--from", address, "--to", table, "--create-table", "--lease-duration", "1s",
                "--dead-letter", "file:\(deadLetters)",
            ]
            let puts = try cloud.calls("PutItem")
            let command = try await StreamCommand.start(arguments, environment: cloud.environment)
            consumers.append(Consumer(table: table, command: command, puts: puts))
        }
        return consumers
    }

    /// Whether it has stored something: items one by one, rows with a transaction.
    func hasBegun(_ consumer: Consumer) throws -> Bool {
        if consumer.table == "dynamodb:events" { return try cloud.calls("PutItem") >= consumer.puts + 20 }
        return try consumer.command.metric("adtrack_consume_events_total", ["result": "stored"]) ?? 0 > 0
    }

    /// Whether both tables say of every shard that its last record is stored.
    func isThrough() async throws -> Bool {
        // Each look reads a table: not more often than is of use.
        try await Task.sleep(for: .milliseconds(100))
        let ends = try JSONDecoder().decode([String: String].self, from: Data(stream.ask("/_ends").utf8))
        let leases = try cloud.items("events-leases").compactMap { item in
            item["position"].flatMap { position in item["part"].map { ($0, position) } }
        }
        let items = Dictionary(leases) { first, _ in first }
        let rows = try EventPositions.read(database)
        return !ends.isEmpty && ends.allSatisfy { shard, end in items[shard] == end && rows[shard] == end }
    }
}
