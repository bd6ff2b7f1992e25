import Foundation
import TestSupport
import Testing

@testable import StreamSource

@Suite("Lines as a source")
struct LineSourceTests {
    private func read(_ text: String, _ limits: BatchLimit = BatchLimit()) async throws -> [[StreamRecord]] {
        try await TestDirectory.with { directory async throws in
            let source = try LineSource(path: directory.write(text, to: "lines"))
            var batches: [[StreamRecord]] = []
            while let batch = try await source.next(limits) { batches.append(batch.records) }
            return batches
        }
    }

    @Test("Each line is a record named by its number, the last one also without a line end; empty lines are none")
    func lines() async throws {
        let records = try await self.read("\u{feff}one\r\n\n  \ntwo\nthree").flatMap { $0 }
        #expect(records.map { String(decoding: $0.bytes, as: UTF8.self) } == ["one", "two", "three"])
        #expect(records.map(\.origin) == ["line 1", "line 4", "line 5"])
        #expect(try await self.read("").isEmpty)
    }

    @Test("Batches keep their bound")
    func batches() async throws {
        let batches = try await self.read((1...25).map { "\($0)\n" }.joined(), BatchLimit(records: 10))
        #expect(batches.map(\.count) == [10, 10, 5])
    }

    @Test("A line without end is damaged, and the next one is read")
    func endless() async throws {
        let long = String(repeating: "x", count: LineSource.maximumLineBytes * 3)
        let records = try await self.read("a\n\(long)\nb\n").flatMap { $0 }
        #expect(records.map(\.origin) == ["line 1", "line 2", "line 3"])
        #expect(records.map { $0.damage?.reason } == [nil, .malformed, nil])
        #expect(records.last.map { String(decoding: $0.bytes, as: UTF8.self) } == "b")
    }

    @Test("A file that is not there is a failure")
    func missing() {
        #expect(throws: StreamFailure.self) { try LineSource(path: "/nonexistent/programs") }
    }
}
