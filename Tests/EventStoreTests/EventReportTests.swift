import StreamSource
import TestSupport
import Testing
import TrackingModel

@testable import EventStore

@Suite("Reports")
struct EventReportTests {
    private func withEvents(_ body: (String) throws -> Void) async throws {
        try await TestDirectory.with { directory async throws in
            let path = directory.path + "/events.sqlite"
            let table = try SQLiteEventTable(path: path)
            let hour: Int64 = 3_600_000
            var events = try rows(["1", "2", "3", "4"])
            for (index, program) in ["a,b", "b", "b", "c"].enumerated() {
                events[index].programID = program
                events[index].time = Int64(index / 2) * hour + 5
                events[index].eventType = index == 0 ? "click" : "conversion"
            }
            _ = try await table.store(events, checkpoints: [])
            try body(path)
        }
    }

    @Test("Events are counted by program, type and hour")
    func counts() async throws {
        try await self.withEvents { path throws in
            let programs = try EventReport(sqlite: path, by: .program, since: nil)
            #expect(programs.lines.map(\.key) == ["b", "a,b", "c"])
            #expect(programs.total == 4)
            #expect(programs.csv == "key,events\nb,2\n\"a,b\",1\nc,1\n")
            #expect(
                programs.json
                    == #"{"by":"program","total":4,"rows":[{"key":"b","events":2},{"key":"a,b","events":1},{"key":"c","events":1}]}"#
                    + "\n"
            )
            #expect(
                programs.table
                    == "program  events\nb             2\na,b           1\nc             1\ntotal         4\n"
            )
            let types = try EventReport(sqlite: path, by: .type, since: nil)
            #expect(types.lines == [.init(key: "conversion", events: 3), .init(key: "click", events: 1)])
            let hours = try EventReport(sqlite: path, by: .hour, since: nil)
            #expect(hours.lines.map(\.key) == ["1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"])
        }
    }

    @Test("Only what came then or later counts")
    func since() async throws {
        try await self.withEvents { path throws in
            let since = Timestamp(milliseconds: 3_600_005)
            #expect(try EventReport(sqlite: path, by: .type, since: since).total == 2)
            #expect(try EventReport(sqlite: path, by: .type, since: Timestamp(milliseconds: 3_600_006)).total == 0)
        }
    }

    @Test("No database and no table are failures, and nothing is made")
    func missing() async throws {
        try await TestDirectory.with { directory async throws in
            _ = #expect(throws: StreamFailure.self) {
                try EventReport(sqlite: directory.path + "/none", by: .type, since: nil)
            }
        }
    }
}
