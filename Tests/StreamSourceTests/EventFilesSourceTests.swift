import Foundation
import TestSupport
import Testing

@testable import StreamSource

/// Positions that a test stored.
private struct Positions: CheckpointStore {
    var stored: [String: String] = [:]
    func positions(of source: String) async throws -> [String: String] { self.stored }
}

@Suite("Event files as a source")
struct EventFilesSourceTests {
    private func framed(_ events: [String]) -> Data {
        Data(events.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) })
    }

    private func write(_ data: Data, _ name: String, _ directory: TestDirectory) throws {
        try data.write(to: URL(fileURLWithPath: directory.path + "/" + name), options: .atomic)
    }

    private func texts(_ batch: RecordBatch?) -> [String] {
        batch?.records.map { String(decoding: $0.bytes, as: UTF8.self) } ?? []
    }

    @Test("Files come in the order of their names, batches within their bounds, positions behind them")
    func order() async throws {
        try await TestDirectory.with { directory async throws in
            try self.write(self.framed(["c", "d"]), "2.pb", directory)
            try self.write(self.framed(["a", "b"]), "1.pb", directory)
            try self.write(Data("no events".utf8), "note.txt", directory)
            let source = EventFilesSource(directory: directory.path, checkpoints: Positions())
            let first = try await source.next(BatchLimit(records: 3))
            #expect(self.texts(first) == ["a", "b", "c"])
            #expect(first?.isMoreReady == true)
            #expect(first?.checkpoints.map(\.position) == ["4", "2"])
            #expect(first?.records.map(\.origin) == ["1.pb@0", "1.pb@2", "2.pb@0"].map { directory.path + "/" + $0 })
            let second = try await source.next(BatchLimit(records: 3))
            #expect(self.texts(second) == ["d"])
            #expect(second?.checkpoints.map(\.position) == ["4"])
            #expect(try await source.next(BatchLimit())?.isEmpty == true)
        }
    }

    @Test("New files and growing ones are followed, and a new start goes on from stored positions")
    func following() async throws {
        try await TestDirectory.with { directory async throws in
            let source = EventFilesSource(directory: directory.path, checkpoints: Positions())
            #expect(try await source.next(BatchLimit())?.isEmpty == true)
            try self.write(self.framed(["a"]), "1.pb", directory)
            #expect(try await self.texts(source.next(BatchLimit())) == ["a"])
            try self.write(self.framed(["a", "b"]), "1.pb", directory)
            try self.write(self.framed(["c"]), "2.pb", directory)
            #expect(try await self.texts(source.next(BatchLimit())) == ["b", "c"])
            let again = EventFilesSource(directory: directory.path, checkpoints: Positions(stored: ["1.pb": "2"]))
            #expect(try await self.texts(again.next(BatchLimit())) == ["b", "c"])
        }
    }

    @Test("A torn place is told once and holds up no other file; grown over, it is read")
    func torn() async throws {
        try await TestDirectory.with { directory async throws in
            try self.write(self.framed(["a"]) + Data([5, 0x61]), "1.pb", directory)
            try self.write(Data(repeating: 0xFF, count: 10), "2.pb", directory)
            try self.write(self.framed(["z"]), "3.pb", directory)
            let source = EventFilesSource(directory: directory.path, checkpoints: Positions())
            let first = try await source.next(BatchLimit())
            #expect(first?.records.filter { $0.damage == nil }.count == 2)
            #expect(first?.records.filter { $0.damage != nil }.map(\.origin) == [directory.path + "/2.pb@0"])
            var told: [StreamRecord] = []
            _ = try await eventually {
                told += try await source.next(BatchLimit())?.records ?? []
                return !told.isEmpty
            }
            #expect(told.map(\.origin) == [directory.path + "/1.pb@2"])
            #expect(told.first?.damage?.reason == .malformed)
            #expect(try await source.next(BatchLimit())?.isEmpty == true)
            try self.write(self.framed(["a", "bbbbb"]), "1.pb", directory)
            #expect(try await self.texts(source.next(BatchLimit())) == ["bbbbb"])
        }
    }

    @Test("The position of a file that is gone is forgotten with the next batch")
    func gone() async throws {
        try await TestDirectory.with { directory async throws in
            let source = EventFilesSource(directory: directory.path, checkpoints: Positions(stored: ["0.pb": "9"]))
            try self.write(self.framed(["a"]), "1.pb", directory)
            let batch = try await source.next(BatchLimit())
            #expect(
                batch?.checkpoints.first { $0.part == "0.pb" }
                    == Checkpoint(source: source.name, part: "0.pb", position: nil)
            )
        }
    }
}
