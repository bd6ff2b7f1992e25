import Foundation
import TestSupport
import Testing

extension Integration {
    /// Records that nobody can use, as messages of an SQS queue; moto verifies the signatures.
    @Suite("--dead-letter sqs:URL")
    struct DeadLetterQueueTests {
        private let poison: [UInt8] = [0xFF, 1, 2]

        @Test("of consume: reason, origin and record, each once; the rest of the batch is stored")
        func consume() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let queue = try cloud.makeQueue("dead")
                    let database = directory.path + "/events.sqlite"
                    let arguments = [
                        "consume", "--from", "kinesis:events", "--to", "sqlite:\(database)", "--dead-letter",
                        "sqs:\(queue)", "--lease-duration", "1s",
                    ]
                    try cloud.makeStream("events")
                    try cloud.put([eventBytes("a"), self.poison, eventBytes(""), eventBytes("b")], into: "events")
                    // One of the calls fails: what it had to bring comes later, and what the others brought is not sent again.
                    try cloud.inject(#"[{"operation": "SendMessage", "kind": "error", "every": 2, "times": 1}]"#)
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        #expect(try await eventually(within: .seconds(20)) { try EventRows.ids(database).count == 2 })
                        #expect(try await consumer.stop() == .status(0))
                    }
                    let letters = try cloud.messages("dead").sorted { $0["origin"] ?? "" < $1["origin"] ?? "" }
                    #expect(letters.compactMap { $0["reason"] } == ["undecodable", "no_message_id"])
                    #expect(letters.compactMap { $0["origin"] } == [2, 3].map { "\(Cloud.shard(0))/\($0)" })
                    #expect(letters.first?["record"] == Data(self.poison).base64EncodedString())
                    #expect(
                        letters.allSatisfy { $0["source"] == "kinesis:events" && $0["time"]?.hasSuffix("Z") == true }
                    )
                    #expect(try cloud.calls("SendMessage") == 3)
                }
            }
        }

        @Test("of update: a program that breaks a rule is a message, the others are in Redis")
        func update() async throws {
            try await Cloud.with { cloud async throws in
                try await RedisServer.with { redis async throws in
                    try await TestDirectory.with { directory async throws in
                        let queue = try cloud.makeQueue("dead.fifo")
                        let lines = [#"{"programId":"a","valid":true}"#, #"{"valid":true}"#, #"{"programId":"b"}"#]
                        let file = try directory.write(lines.joined(separator: "\n"), to: "programs.jsonl")
                        let ended = try await Binary.run(
                            ["update", "--from", "file:\(file)", "--redis", redis.url, "--management-port", "0"]
                                + ["--dead-letter", "sqs:\(queue)"],
                            environment: cloud.environment
                        )
                        #expect(ended.exit == .status(0), "\(ended.log)")
                        let letters = try cloud.messages("dead.fifo")
                        #expect(letters.compactMap { $0["reason"] } == ["invalid_program"])
                        #expect(letters.first?["record"] == Data(lines[1].utf8).base64EncodedString())
                        #expect(try redis.cli("EXISTS", "program:a", "program:b") == "2")
                    }
                }
            }
        }

        @Test("a queue that takes less gets the beginning of a long record, and how much of it is missing")
        func long() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let queue = try cloud.makeQueue("dead", maximumBytes: 4096)
                    let long = [UInt8](repeating: 0xFF, count: 20_000)
                    let database = directory.path + "/events.sqlite"
                    let arguments = [
                        "consume", "--from", "kinesis:events", "--to", "sqlite:\(database)", "--dead-letter",
                        "sqs:\(queue)",
                    ]
                    try cloud.makeStream("events")
                    try cloud.put([long, eventBytes("a")], into: "events")
                    try await StreamCommand.with(arguments, environment: cloud.environment) { _ async throws in
                        #expect(try await eventually(within: .seconds(20)) { try EventRows.ids(database) == ["a"] })
                    }
                    let letter = try #require(try cloud.messages("dead").first)
                    let kept = try #require(letter["record"].flatMap { Data(base64Encoded: $0) })
                    #expect(kept.count > 1000 && kept.allSatisfy { $0 == 0xFF })
                    #expect(letter["omitted"] == "\(long.count - kept.count)")
                }
            }
        }

        @Test("while there is no queue nothing is passed over; when there is one it goes on")
        func absent() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let database = directory.path + "/events.sqlite"
                    let arguments = [
                        "consume", "--from", "kinesis:events", "--to", "sqlite:\(database)", "--dead-letter",
                        "sqs:\(cloud.standIn.url)/123456789012/dead",
                    ]
                    try cloud.makeStream("events")
                    try cloud.put([self.poison, eventBytes("a")], into: "events")
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        let missing = try await eventually {
                            let ready = try consumer.manage("/health/ready")
                            return ready.status == 503 && ready.text.contains("dead-letters")
                        }
                        #expect(missing)
                        #expect(try EventRows.ids(database).isEmpty && EventPositions.read(database).isEmpty)
                        _ = try cloud.makeQueue("dead")
                        #expect(try await eventually(within: .seconds(20)) { try EventRows.ids(database) == ["a"] })
                        #expect(try cloud.messages("dead").count == 1)
                        #expect(try await eventually { try consumer.manage("/health/ready").status == 200 })
                    }
                }
            }
        }
    }
}
