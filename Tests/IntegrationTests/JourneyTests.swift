import Foundation
import TestSupport
import Testing

extension Integration {
    /// The whole journey: a program put into a stream is answered with, and what was answered is one row.
    @Suite("From a program to a row")
    struct JourneyTests {
        /// `ADTRACK_JOURNEY_REQUESTS` asks for more than what is quick.
        private static let requests =
            ProcessInfo.processInfo.environment["ADTRACK_JOURNEY_REQUESTS"].flatMap { Int($0) } ?? 1500
        private static let programs = 20

        @Test(
            "through kills of service and consumers, throttled tables and redelivery: exactly the accepted answers, once"
        )
        func journey() async throws {
            try await Cloud.with { cloud async throws in
                try await RedisServer.with { redis async throws in
                    try cloud.makeStream("core-data", shards: 2)
                    try cloud.put((0..<Self.programs).map(self.program), into: "core-data")
                    let update = ["update", "--from", "kinesis:core-data", "--redis", redis.url]
                    try await StreamCommand.with(update, environment: cloud.environment) { _ async throws in
                        try await TestDirectory.with { directory async throws in
                            try await self.run(cloud, redis, directory)
                        }
                    }
                }
            }
        }

        private func program(_ number: Int) -> [UInt8] {
            Array(
                """
                {"userAgent":"x","programId":"p\(number)","programName":"Program \(number)","checksum":"c\(number)",
                 "customerId":\(1000 + number),"customerName":"Customer \(number)","valid":true,"version":\(number + 1)}
                """.utf8
            )
        }

        private func run(_ cloud: Cloud, _ redis: RedisServer, _ directory: TestDirectory) async throws {
            try cloud.inject(
                """
                [{"operation": "PutItem", "kind": "throttle", "every": 9, "times": 300},
                 {"operation": "PutItem", "kind": "late-cut", "every": 211, "times": 5},
                 {"operation": "PutItem", "kind": "error", "every": 53, "times": 20}]
                """
            )
            let database = directory.path + "/events.sqlite"
            let consumers = ["sqlite:\(database)", "dynamodb:events"].map { table in
                ["consume", "--from", "file:\(directory.events)", "--to", table, "--create-table"]
            }
            let answers = try await self.ask(cloud, redis, directory, consumers)
            #expect(answers.count > Self.requests / 2)
            // Everything comes a second time, from another place.
            try FileManager.default.copyItem(atPath: directory.events, toPath: directory.path + "/again")
            let again = ["consume", "--from", "file:\(directory.path)/again", "--to", "sqlite:\(database)"]
            for arguments in consumers + [again] {
                try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                    let isThrough = try await eventually(within: .seconds(120)) {
                        try Set(self.ids(arguments, cloud, database)).isSuperset(of: answers.keys)
                            && consumer.metric("adtrack_consume_lag_seconds") == 0
                    }
                    #expect(isThrough)
                    #expect(try await consumer.stop() == .status(0))
                }
            }
            try self.compare(EventRows.read(database), answers, truth: "1")
            try self.compare(cloud.items("events"), answers, truth: "true")
        }

        private func ids(_ arguments: [String], _ cloud: Cloud, _ database: String) throws -> [String] {
            arguments.contains("dynamodb:events")
                ? try cloud.items("events").compactMap { $0["id"] } : try EventRows.ids(database)
        }

        /// Requests while service and consumers are killed; what was accepted, by message id.
        private func ask(
            _ cloud: Cloud,
            _ redis: RedisServer,
            _ directory: TestDirectory,
            _ consumers: [[String]]
        ) async throws -> [String: [String: JSON]] {
            var answers: [String: [String: JSON]] = [:]
            let setup = Service.Setup(["--redis", redis.url])
            for round in 0..<3 {
                let service = try await Service.start(setup, in: directory)
                var running: [StreamCommand] = []
                for arguments in consumers {
                    running.append(try await StreamCommand.start(arguments, environment: cloud.environment))
                }
                #expect(
                    try await eventually {
                        try service.get("/event/p\(Self.programs - 1)", method: "GET").status == 200
                    }
                )
                for index in 0..<Self.requests / 3 {
                    let target = "/event/p\(index % Self.programs)?type=conversion&orderId=\(round)-\(index)"
                    let response = try service.get(target, headers: ["User-Agent: agent \(index)"])
                    guard response.status == 200, let id = try response.json["messageId"]?.text else { continue }
                    answers[id] = try response.json
                    if index == Self.requests / 5 { running[round % 2].process.signal(SIGKILL) }
                }
                if round == 2 { #expect(try await service.stop() == .status(0)) }
                for process in [service.process] + running.map(\.process) { await process.end() }
            }
            return answers
        }

        private func compare(_ rows: [[String: String]], _ answers: [String: [String: JSON]], truth: String) throws {
            let asked = rows.filter { $0["user_agent"]?.hasPrefix("agent ") == true }
            #expect(asked.compactMap { $0["message_id"] }.sorted() == answers.keys.sorted())
            for row in asked {
                let answer = try #require(answers[row["message_id"] ?? ""])
                for (column, field) in [
                    ("program_id", "programId"), ("program_name", "programName"), ("checksum", "checksum"),
                    ("customer_name", "customerName"), ("user_agent", "userAgent"),
                ] { #expect(row[column] == answer[field]?.text) }
                #expect(row["customer_id"].flatMap { Double($0) } == answer["customerId"]?.number)
                #expect(row["is_valid"] == truth && row["event_type"] == "conversion")
            }
        }
    }
}
