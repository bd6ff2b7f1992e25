import GRDB
import StreamSource
import SwiftProtobuf
import TestSupport
import Testing
import TrackingModel

@testable import EventStore

/// An event with every field set.
func makeEvent(_ id: String, time: Int64 = 1_795_273_520_997) -> Adtrack_TrackingEvent {
    .with {
        $0.programid = "p1"
        $0.checksum = "c0ffee"
        $0.customerID = -7
        $0.userAgent = "agent \"x\" é"
        $0.programName = "Program"
        $0.customerName = "ACME"
        $0.isValid = true
        $0.messageID = id
        $0.eventType = .conversion
        $0.time = time
        $0.parameters = ["b": "2", "a": "\"1\""]
        $0.referrer = "https://example.org/"
        $0.clientAddress = "192.0.2.0"
        $0.programVersion = 9
    }
}

func record(_ event: Adtrack_TrackingEvent) throws -> StreamRecord {
    StreamRecord(origin: "test", bytes: try event.serializedBytes())
}

func rows(_ ids: [String]) throws -> [EventRow] {
    try ids.map { try EventRow(record(makeEvent($0))) }
}

@Suite("Events in SQLite")
struct SQLiteEventTableTests {
    private func withTable(_ body: (SQLiteEventTable, String) async throws -> Void) async throws {
        try await TestDirectory.with { directory async throws in
            let path = directory.path + "/events.sqlite"
            try await body(try SQLiteEventTable(path: path), path)
        }
    }

    private func query(_ path: String, _ sql: String) throws -> [[String]] {
        try DatabaseQueue(path: path).read { database in
            try Row.fetchAll(database, sql: sql).map { row in
                row.databaseValues.map { value in value.isNull ? "NULL" : "\(value.storage.value ?? "")" }
            }
        }
    }

    @Test("Every field has its column")
    func columns() async throws {
        try await self.withTable { table, path async throws in
            #expect(try await table.store(rows(["m1"]), checkpoints: []) == .stored(1, duplicates: 0))
            #expect(
                try self.query(
                    path,
                    """
                    SELECT message_id, program_id, checksum, customer_id, user_agent, program_name, customer_name, is_valid,
                        event_type, time, parameters, referrer, client_address, program_version FROM events
                    """
                ) == [
                    [
                        "m1", "p1", "c0ffee", "-7", "agent \"x\" é", "Program", "ACME", "1", "conversion",
                        "1795273520997",
                        #"{"a":"\"1\"","b":"2"}"#, "https://example.org/", "192.0.2.0", "9",
                    ]
                ]
            )
        }
    }

    @Test("The same events three times are one row each, and the first one stays")
    func redelivery() async throws {
        try await self.withTable { table, path async throws in
            let ids = (0..<100).map { "m\($0)" }
            #expect(try await table.store(rows(ids + ids), checkpoints: []) == .stored(100, duplicates: 100))
            var changed = try rows(ids)
            for index in changed.indices { changed[index].programID = "other" }
            #expect(try await table.store(changed, checkpoints: []) == .stored(0, duplicates: 100))
            #expect(try self.query(path, "SELECT count(*), max(program_id) FROM events") == [["100", "p1"]])
        }
    }

    @Test("A row that the database refuses is named, and nothing of its batch is stored, nor the checkpoint moved")
    func refusal() async throws {
        try await self.withTable { table, path async throws in
            try await DatabaseQueue(path: path).write { database in
                try database.execute(
                    sql: """
                        CREATE TRIGGER picky BEFORE INSERT ON events WHEN new.message_id IN ('m3', 'm5')
                        BEGIN SELECT RAISE(ABORT, 'not this one'); END
                        """
                )
            }
            let checkpoint = Checkpoint(source: "s", part: "p", position: "5")
            let result = try await table.store(rows((0..<9).map { "m\($0)" }), checkpoints: [checkpoint])
            guard case .refused(let damages) = result else {
                Issue.record("\(result)")
                return
            }
            #expect(damages.keys.sorted() == [3, 5])
            #expect(try self.query(path, "SELECT count(*) FROM events") == [["0"]])
            #expect(try await table.positions(of: "s").isEmpty)
        }
    }

    @Test("Checkpoints are stored with the rows, replaced and forgotten")
    func checkpoints() async throws {
        try await self.withTable { table, path async throws in
            let first = [("a", "1"), ("b", "1")].map { Checkpoint(source: "s", part: $0.0, position: $0.1) }
            _ = try await table.store(rows(["m"]), checkpoints: first)
            let second = [
                Checkpoint(source: "s", part: "a", position: "2"), Checkpoint(source: "s", part: "b", position: nil),
            ]
            _ = try await table.store([], checkpoints: second)
            #expect(try await SQLiteEventTable(path: path).positions(of: "s") == ["a": "2"])
            #expect(try await table.positions(of: "other").isEmpty)
        }
    }

    @Test("A database that can't be made is a failure")
    func unwritable() {
        #expect(throws: StreamFailure.self) { try SQLiteEventTable(path: "/nonexistent/events.sqlite") }
    }
}

@Suite("From a record to a row")
struct EventRowTests {
    private func damage(_ bytes: [UInt8]) -> Damage.Reason? {
        do throws(Damage) {
            _ = try EventRow(StreamRecord(origin: "test", bytes: bytes))
            return nil
        } catch { return error.reason }
    }

    @Test("What is no event, has no id, or can't be stored is told apart")
    func damages() throws {
        #expect(self.damage([0xFF, 0xFF]) == .undecodable)
        #expect(self.damage(Array("{\"json\":1}".utf8)) == .undecodable)
        #expect(self.damage([]) == .noMessageID)
        #expect(try self.damage(makeEvent("").serializedBytes()) == .noMessageID)
        #expect(try self.damage(makeEvent(String(repeating: "x", count: 257)).serializedBytes()) == .noMessageID)
        #expect(try self.damage(makeEvent("a\0b").serializedBytes()) == .notStorable)
        #expect(try self.damage(makeEvent("id").serializedBytes()) == nil)
    }

    @Test("An event of the older schema, fields 1 to 8 alone, is a row; so is one with fields we don't know")
    func older() throws {
        let older: [UInt8] = [
            0x0a, 1, 0x70, 0x12, 1, 0x63, 0x18, 7, 0x22, 1, 0x75, 0x2a, 1, 0x6e, 0x32, 1, 0x61, 0x42, 1, 0x6d,
        ]
        let row = try EventRow(StreamRecord(origin: "test", bytes: older))
        #expect(row.messageID == "m" && row.programID == "p" && row.customerID == 7 && row.time == 0)
        #expect(row.eventType == "click" && row.parametersJSON == "{}")
        // Field 100, and an event type of tomorrow.
        let newer = try EventRow(StreamRecord(origin: "test", bytes: older + [0x48, 9, 0xa2, 0x06, 1, 0x78]))
        #expect(newer.eventType == "9")
    }
}
