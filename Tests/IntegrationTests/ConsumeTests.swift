import Foundation
import TestSupport
import Testing

extension Integration {
    /// From a stream to a table: exactly one row per event.
    @Suite("adtrack consume")
    struct ConsumeTests {
        @Test("every accepted answer is one row with the answer's values, while the service goes on")
        func journey() async throws {
            try await Service.with { service async throws in
                let database = service.directory.path + "/events.sqlite"
                let arguments = ["consume", "--from", "file:\(service.directory.events)", "--to", "sqlite:\(database)"]
                try await StreamCommand.with(arguments) { consumer async throws in
                    var answers: [String: [String: JSON]] = [:]
                    for index in 0..<100 {
                        let target = "/event/21231\(2 + index % 3)?type=conversion&orderId=\(index)"
                        let json = try service.get(target, headers: ["User-Agent: agent \(index)"]).json
                        answers[try #require(json["messageId"]?.text)] = json
                    }
                    #expect(try await eventually { try EventRows.ids(database).count >= 100 })
                    let rows = try EventRows.read(database)
                    #expect(rows.count == 100)
                    for row in rows {
                        let answer = try #require(answers[row["message_id"] ?? ""])
                        #expect(answer["programId"]?.text == row["program_id"])
                        #expect(answer["programName"]?.text == row["program_name"])
                        #expect(answer["customerName"]?.text == row["customer_name"])
                        #expect(answer["checksum"]?.text == row["checksum"])
                        #expect(answer["userAgent"]?.text == row["user_agent"])
                        #expect(answer["customerId"] == .number(Double(row["customer_id"] ?? "") ?? -1))
                        #expect(row["is_valid"] == "1" && row["event_type"] == "conversion")
                        let index = row["user_agent"]?.split(separator: " ").last ?? ""
                        #expect(row["parameters"] == #"{"orderId":"\#(index)"}"#)
                    }
                    #expect(try consumer.metric("adtrack_consume_events_total", ["result": "stored"]) == 100)
                    #expect(try consumer.metric("adtrack_consume_lag_seconds") == 0)
                    #expect(try consumer.manage("/health/ready").status == 200)
                    #expect(try await consumer.stop() == .status(0))
                }
                // Begun again, it goes on where it was: nothing comes twice.
                try await StreamCommand.with(arguments) { consumer async throws in
                    _ = try service.get("/event/212312")
                    #expect(try await eventually { try EventRows.ids(database).count == 101 })
                    #expect(try consumer.metric("adtrack_consume_events_total", ["result": "duplicate"]) == 0)
                }
                let report = try await Binary.run(["report", "--from", "sqlite:\(database)", "--by", "type", "--json"])
                #expect(report.exit == .status(0))
                #expect(report.output.hasPrefix(#"{"by":"type","total":101,"#))
            }
        }

        @Test("events that come three times, consumers killed in the middle and records that are none: one row each")
        func killed() async throws {
            try await RedisServer.with { redis async throws in
                try await TestDirectory.with { directory async throws in
                    let database = directory.path + "/events.sqlite"
                    let arguments = [
                        "consume", "--from", "redis:events?url=\(redis.url)", "--to", "sqlite:\(database)",
                        "--dead-letter", "file:\(directory.path)/dead", "--claim-idle", "300ms", "--batch-records",
                        "50",
                    ]
                    let ids = (0..<4000).map { "id-\($0)" }
                    var entries = try ids.map(eventBytes)
                    for index in stride(from: 0, to: entries.count, by: 97) {
                        entries.insert([0xFF, UInt8(index % 251)], at: index)
                    }
                    let poison = entries.filter { $0.first == 0xFF }.count
                    for round in 0..<3 {
                        try redis.append(entries, to: "events", field: "event")
                        for _ in 0..<2 {
                            let victim = try await StreamCommand.start(arguments)
                            let before = try EventRows.ids(database).count
                            _ = try await eventually(within: .milliseconds(500)) {
                                try EventRows.ids(database).count > before + 100 || round > 0
                            }
                            victim.process.signal(SIGKILL)
                            _ = try await victim.process.exit()
                        }
                    }
                    try await StreamCommand.with(arguments) { consumer async throws in
                        let isDone = try await eventually(within: .seconds(30)) {
                            let pending = try redis.cli("XPENDING", "events", "adtrack").split(separator: "\n").first
                            return try pending == "0" && redis.cli("XINFO", "GROUPS", "events").contains("lag\n0")
                        }
                        #expect(isDone)
                        #expect(try EventRows.ids(database).sorted() == ids.sorted())
                        let letters = try DeadLetters.read(directory.path + "/dead")
                        #expect(letters.count == poison * 3)
                        #expect(Set(letters.map { $0["origin"] }).count == poison * 3)
                        #expect(letters.allSatisfy { $0["reason"] == "undecodable" })
                        #expect(try await eventually { try consumer.metric("adtrack_consume_lag_seconds") == 0 })
                        #expect(try await consumer.stop() == .status(0))
                        // It leaves nothing behind that another one would have to take over.
                        #expect(
                            try !redis.cli("XINFO", "CONSUMERS", "events", "adtrack").contains("\(consumer.process.id)")
                        )
                    }
                }
            }
        }

        @Test("while Redis is away it waits, says that it isn't ready, and goes on")
        func outage() async throws {
            try await RedisServer.with { redis async throws in
                try await TestDirectory.with { directory async throws in
                    redis.kill()
                    let database = directory.path + "/events.sqlite"
                    let arguments = [
                        "consume", "--from", "redis:events?url=\(redis.url)", "--to", "sqlite:\(database)",
                        "--dead-letter", "redis:dead?url=\(redis.url)",
                    ]
                    try await StreamCommand.with(arguments) { consumer async throws in
                        let missing = try consumer.manage("/health/ready")
                        #expect(missing.status == 503 && missing.text.contains("source"))
                        for round in 1...2 {
                            try redis.start()
                            try redis.append([eventBytes("m\(round)"), [0xFF]], to: "events", field: "event")
                            #expect(
                                try await eventually(within: .seconds(15)) {
                                    try EventRows.ids(database).count == round
                                }
                            )
                            #expect(try await eventually { try consumer.manage("/health/ready").status == 200 })
                            #expect(try await eventually { try redis.cli("XLEN", "dead") == "1" })
                            redis.kill()
                            #expect(try await eventually { try consumer.manage("/health/ready").status == 503 })
                        }
                    }
                }
            }
        }

        @Test("what can't be meant is one sentence and 64, a table that can't be made 1")
        func refusals() async throws {
            let directory = try TestDirectory()
            defer { try? FileManager.default.removeItem(atPath: directory.path) }
            // Where a table is opened before the rest is refused, it is not in the working directory.
            let table = "sqlite:\(directory.path)/x"
            for arguments in [
                ["--to", table], ["--from", "file:x"], ["--from", "file:x", "--to", "mysql:x"],
                ["--from", "redis:k", "--to", table], ["--from", "redis:k?urk=1", "--to", table],
                ["--from", "file:", "--to", table],
                ["--from", "file:x", "--to", table, "--dead-letter", "x"],
            ] {
                let ended = try await Binary.run(["consume"] + arguments)
                #expect(ended.exit == .status(64), "\(arguments)")
                #expect(ended.log.split(separator: "\n").count == 1)
            }
            #expect(!FileManager.default.fileExists(atPath: "x"))
            let ended = try await Binary.run(["consume", "--from", "file:x", "--to", "sqlite:/nonexistent/x"])
            #expect(ended.exit == .status(1))
            #expect(try await Binary.run(["report", "--from", "sqlite:x", "--by", "week"]).exit == .status(64))
        }
    }
}
