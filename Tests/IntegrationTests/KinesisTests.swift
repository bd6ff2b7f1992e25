import Foundation
import GRDB
import TestSupport
import Testing

extension Integration {
    /// From Kinesis to a table, with moto for AWS.
    @Suite("adtrack consume from Kinesis")
    struct KinesisTests {
        private func arguments(_ directory: TestDirectory, to table: String, _ more: [String] = []) -> [String] {
            [
                "consume", "--from", "kinesis:events", "--to", table, "--dead-letter", "file:\(directory.path)/dead",
                "--lease-duration", "1s", "--batch-records", "100",
            ] + more
        }

        private func rowsInOrder(_ path: String) throws -> [String] {
            try DatabaseQueue(path: path).read { database in
                try String.fetchAll(database, sql: "SELECT message_id FROM events ORDER BY rowid")
            }
        }

        @Test("events that come three times, consumers killed and poison: one row each, in SQLite")
        func sqlite() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let database = directory.path + "/events.sqlite"
                    let arguments = self.arguments(directory, to: "sqlite:\(database)")
                    try cloud.makeStream("events", shards: 3)
                    let ids = (0..<1500).map { "id-\($0)" }
                    for round in 0..<3 {
                        try cloud.put(ids.map(eventBytes) + [[0xFF, UInt8(round)]], into: "events")
                        let victim = try await StreamCommand.start(arguments, environment: cloud.environment)
                        let before = round == 0 ? 0 : 1500
                        _ = try await eventually(within: .seconds(5)) {
                            try EventRows.ids(database).count > before + (round == 0 ? 150 : -1)
                        }
                        victim.process.signal(SIGKILL)
                        _ = try await victim.process.exit()
                    }
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        let isDone = try await eventually(within: .seconds(30)) {
                            try DeadLetters.read(directory.path + "/dead").count == 3
                                && self.isAtEnd(cloud, EventPositions.read(database))
                        }
                        #expect(isDone)
                        #expect(try EventRows.ids(database).sorted() == ids.sorted())
                        #expect(try await eventually { try consumer.metric("adtrack_consume_lag_seconds") == 0 })
                        #expect(try await consumer.stop() == .status(0))
                    }
                    // Nothing is read twice after a clean stop.
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        try cloud.put([eventBytes("last")], into: "events")
                        #expect(try await eventually { try EventRows.ids(database).contains("last") })
                        #expect(try consumer.metric("adtrack_consume_events_total", ["result": "duplicate"]) == 0)
                    }
                }
            }
        }

        /// Whether every shard's position is its last record; moto numbers them from 1.
        private func isAtEnd(_ cloud: Cloud, _ positions: [String: String]) throws -> Bool {
            try cloud.shards("events").allSatisfy { $0.records == 0 || positions[$0.id] == "\($0.records)" }
        }

        @Test("one item each in DynamoDB too, through throttling, errors, lost answers and kill -9; report counts them")
        func dynamoDB() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let arguments = self.arguments(directory, to: "dynamodb:events", ["--create-table"])
                    try cloud.makeStream("events", shards: 2)
                    try cloud.inject(
                        """
                        [{"operation": "PutItem", "kind": "late-cut", "every": 41, "times": 20},
                         {"operation": "PutItem", "kind": "throttle", "every": 7, "times": 200},
                         {"operation": "PutItem", "kind": "error", "every": 11, "times": 40},
                         {"operation": "UpdateItem", "kind": "error", "every": 3, "times": 4},
                         {"operation": "GetRecords", "kind": "cut", "every": 3, "times": 5}]
                        """
                    )
                    let ids = (0..<400).map { "id-\($0)" }
                    for _ in 0..<2 { try cloud.put(ids.map(eventBytes), into: "events") }
                    let victim = try await StreamCommand.start(arguments, environment: cloud.environment)
                    #expect(try await eventually(within: .seconds(20)) { try cloud.items("events").count > 100 })
                    victim.process.signal(SIGKILL)
                    _ = try await victim.process.exit()
                    try cloud.put(ids.map(eventBytes) + [eventBytes("")], into: "events")
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        let isDone = try await eventually(within: .seconds(60)) {
                            let leases = try cloud.items("events-leases").compactMap { item in
                                item["position"].flatMap { position in item["part"].map { ($0, position) } }
                            }
                            return try self.isAtEnd(cloud, Dictionary(leases) { first, _ in first })
                        }
                        #expect(isDone, "\(consumer.process.log)")
                        #expect(try await consumer.stop() == .status(0))
                    }
                    let items = try cloud.items("events")
                    #expect(items.compactMap { $0["id"] }.sorted() == ids.sorted())
                    #expect(items.allSatisfy { $0["id"] == $0["message_id"] && $0["program_id"] == "p" })
                    #expect(items.allSatisfy { $0["is_valid"] == "true" && $0["time"] == "1795273520997" })
                    #expect(
                        try DeadLetters.read(directory.path + "/dead").compactMap { $0["reason"] } == ["no_message_id"]
                    )
                    let report = try await Binary.run(
                        ["report", "--from", "dynamodb:events", "--csv"],
                        environment: cloud.environment
                    )
                    #expect(report.output == "key,events\np,400\n")
                }
            }
        }

        @Test("while the table takes nothing no position moves; when it takes again everything is there, written once")
        func checkpoints() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let arguments = self.arguments(directory, to: "dynamodb:events", ["--create-table"])
                    try cloud.makeStream("events")
                    try cloud.put((0..<50).map { try eventBytes("id-\($0)") }, into: "events")
                    try cloud.inject(#"[{"operation": "PutItem", "kind": "throttle", "times": 100000}]"#)
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        #expect(
                            try await eventually {
                                try consumer.metric("adtrack_consume_failures_total", ["part": "table"]) ?? 0 > 0
                            }
                        )
                        let ready = try consumer.manage("/health/ready")
                        #expect(ready.status == 503 && ready.text.contains("table"))
                        #expect(try cloud.items("events-leases").allSatisfy { $0["position"] == nil })
                        #expect(try consumer.metric("adtrack_consume_lag_seconds") ?? 0 > 0)
                        try cloud.inject("[]")
                        #expect(try await eventually { try cloud.items("events").count == 50 })
                        #expect(
                            try await eventually {
                                try cloud.items("events-leases").compactMap { $0["position"] } == ["50"]
                            }
                        )
                        #expect(try await eventually { try consumer.manage("/health/ready").status == 200 })
                        let stored = try consumer.metric("adtrack_consume_events_total", ["result": "stored"])
                        #expect(stored == 50)
                    }
                }
            }
        }

        @Test("what was throttled is put again alone: no item twice")
        func throttled() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let arguments = self.arguments(directory, to: "dynamodb:events", ["--create-table"])
                    try cloud.makeStream("events")
                    try cloud.put((0..<60).map { try eventBytes("id-\($0)") }, into: "events")
                    try cloud.inject(#"[{"operation": "PutItem", "kind": "throttle", "every": 3, "times": 15}]"#)
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        #expect(
                            try await eventually {
                                try cloud.items("events-leases").compactMap { $0["position"] } == ["60"]
                            }
                        )
                        #expect(try cloud.items("events").count == 60)
                        #expect(try cloud.calls("PutItem") == 60 + 15)
                        let failures = try consumer.metric("adtrack_consume_failures_total", ["part": "table"])
                        #expect(failures == 0)
                    }
                }
            }
        }

        @Test(
            "poison anywhere in a batch is kept aside, the rest is stored within a second, and lag returns",
            arguments: [0, 49, 99]
        )
        func poison(place: Int) async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let database = directory.path + "/events.sqlite"
                    let arguments = self.arguments(directory, to: "sqlite:\(database)")
                    try cloud.makeStream("events")
                    try await StreamCommand.with(arguments, environment: cloud.environment) { consumer async throws in
                        #expect(try await eventually { try consumer.manage("/health/ready").status == 200 })
                        var records = try (0..<99).map { try eventBytes("id-\($0)") }
                        records.insert([0xFF, 1, 2], at: place)
                        try cloud.put(records, into: "events")
                        let isStored = try await eventually(within: .seconds(1)) {
                            try EventRows.ids(database).count == 99
                        }
                        #expect(isStored)
                        let letters = try DeadLetters.read(directory.path + "/dead")
                        #expect(letters.compactMap { $0["origin"] } == ["\(Cloud.shard(0))/\(place + 1)"])
                        #expect(letters.first?["record"] == Data([0xFF, 1, 2]).base64EncodedString())
                        #expect(try await eventually { try consumer.metric("adtrack_consume_lag_seconds") == 0 })
                        let counted = try consumer.metric(
                            "adtrack_dead_letter_records_total",
                            ["reason": "undecodable"]
                        )
                        #expect(counted == 1)
                    }
                }
            }
        }

        @Test("what was written before a split or a merge is stored before what was written after it")
        func lineage() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let database = directory.path + "/events.sqlite"
                    let arguments = self.arguments(directory, to: "sqlite:\(database)")
                    let generations = [200, 150, 120].enumerated().map { generation, count in
                        (0..<count).map { "g\(generation)-\($0)" }
                    }
                    try cloud.makeStream("events")
                    try cloud.put(generations[0].map(eventBytes), into: "events")
                    try cloud.split(0, of: "events")
                    try cloud.put(generations[1].map(eventBytes), into: "events")
                    try cloud.merge(1, 2, of: "events")
                    try cloud.put(generations[2].map(eventBytes), into: "events")
                    try await StreamCommand.with(arguments, environment: cloud.environment) { _ async throws in
                        let isDone = try await eventually(within: .seconds(30)) {
                            try EventRows.ids(database).count == 470
                        }
                        #expect(isDone)
                        let order = try self.rowsInOrder(database).map { String($0.prefix(2)) }
                        #expect(order == order.sorted())
                        let positions = try EventPositions.read(database)
                        #expect((0...2).allSatisfy { positions[Cloud.shard($0)] == "SHARD_END" })
                        #expect(positions[Cloud.shard(3)] == "120")
                        // A stream that is split while it is read is followed too.
                        try cloud.split(3, of: "events")
                        try cloud.put((0..<50).map { try eventBytes("later-\($0)") }, into: "events")
                        #expect(
                            try await eventually(within: .seconds(30)) { try EventRows.ids(database).count == 520 }
                        )
                    }
                }
            }
        }

        @Test("what the KPL put together is taken apart, and one bad part of it is kept aside alone")
        func aggregated() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let database = directory.path + "/events.sqlite"
                    let arguments = self.arguments(directory, to: "sqlite:\(database)")
                    try cloud.makeStream("events")
                    var records = try (0..<300).map { try eventBytes("id-\($0)") }
                    records.insert([0xFF], at: 7)
                    try cloud.putAggregated(records, into: "events")
                    try cloud.put([eventBytes("single")], into: "events")
                    try await StreamCommand.with(arguments, environment: cloud.environment) { _ async throws in
                        #expect(try await eventually { try EventRows.ids(database).count == 301 })
                        let letters = try DeadLetters.read(directory.path + "/dead")
                        #expect(letters.compactMap { $0["origin"] } == ["\(Cloud.shard(0))/1#7"])
                    }
                }
            }
        }

        @Test("workers share the shards evenly, take over those of one that died, and lose nothing")
        func leases() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    let database = directory.path + "/events.sqlite"
                    let arguments = self.arguments(directory, to: "sqlite:\(database)")
                    func owners() throws -> [String: Int] { try EventPositions.owners(database) }
                    try cloud.makeStream("events", shards: 4)
                    try await StreamCommand.with(arguments, environment: cloud.environment) { first async throws in
                        #expect(try await eventually { try owners().values.sorted() == [4] })
                        let second = try await StreamCommand.start(arguments, environment: cloud.environment)
                        #expect(try await eventually(within: .seconds(20)) { try owners().values.sorted() == [2, 2] })
                        try cloud.put((0..<400).map { try eventBytes("a-\($0)") }, into: "events")
                        #expect(try await eventually(within: .seconds(20)) { try EventRows.ids(database).count == 400 })
                        for worker in [first, second] {
                            #expect(try worker.metric("adtrack_consume_events_total", ["result": "stored"]) ?? 0 > 50)
                        }
                        second.process.signal(SIGKILL)
                        _ = try await second.process.exit()
                        try cloud.put((0..<400).map { try eventBytes("b-\($0)") }, into: "events")
                        #expect(try await eventually(within: .seconds(20)) { try EventRows.ids(database).count == 800 })
                        #expect(try owners().values.sorted() == [4])
                        #expect(try await first.stop() == .status(0))
                        // Nobody has to wait for those of one that ended as it should.
                        #expect(try owners() == ["": 4])
                    }
                }
            }
        }
    }
}
