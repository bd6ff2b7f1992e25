import Glibc
import Testing

@testable import EventJournal

private func refused(_ number: Int, bytes: Int = 20) -> RefusedRecord {
    RefusedRecord(
        sequence: UInt64(number),
        bytes: record(number, bytes: bytes),
        key: 0..<7,
        sink: "redis:events",
        reason: "too large for it",
        milliseconds: 1_700_000_000_000
    )
}

private func kept(_ directory: String) -> [RefusedRecord] {
    var records: [RefusedRecord] = []
    var archive = JournalArchive(directory: directory + "/quarantine")
    archive.read { record, origin in
        guard case .refused(let sink, let reason, let milliseconds) = origin else { return }
        records.append(
            RefusedRecord(
                sequence: record.sequence,
                bytes: Array(record.bytes),
                key: record.keyRange,
                sink: sink,
                reason: reason,
                milliseconds: milliseconds
            )
        )
    }
    return records
}

@Suite struct RefusedRecordsTests {
    @Test("what is kept aside is read back whole, with its key, sink, reason and time, also by a later life")
    func roundTrip() async throws {
        try await withDirectory { directory in
            for life in 0..<3 {
                let quarantine = RefusedRecords(journal: directory)
                try quarantine.keep([refused(2 * life), refused(2 * life + 1, bytes: 3_000)])
            }
            let wanted = (0..<6).map { refused($0, bytes: $0 % 2 == 0 ? 20 : 3_000) }
            #expect(kept(directory) == wanted)
            #expect(JournalArchive.isJournal(directory + "/quarantine"))
        }
    }

    @Test("a reader that follows gets each entry once")
    func following() async throws {
        try await withDirectory { directory in
            let quarantine = RefusedRecords(journal: directory)
            var archive = JournalArchive(directory: directory + "/quarantine")
            var seen: [UInt64] = []
            for number in 0..<20 {
                try quarantine.keep([refused(number)])
                archive.read { record, _ in seen.append(record.sequence) }
            }
            #expect(seen == Array(0..<20))
        }
    }

    @Test("all files together keep within their bound: the oldest goes")
    func bound() async throws {
        try await withDirectory { directory in
            let quarantine = RefusedRecords(journal: directory, maxBytes: 64 << 10)
            for number in 0..<500 { try quarantine.keep([refused(number, bytes: 1_000)]) }
            let left = kept(directory).map(\.sequence)
            #expect(left.last == 499)
            #expect(left == Array(try #require(left.first)...499))
            #expect((40...64).contains(left.count))
            let names = try DiskFileSystem().list(directory + "/quarantine").filter { $0.hasSuffix(".refused") }
            #expect(names.count <= 9)
        }
    }

    @Test("an entry that is torn or damaged costs itself alone", arguments: [10, 100, 200])
    func damage(_ place: Int) async throws {
        try await withDirectory { directory in
            try RefusedRecords(journal: directory).keep((0..<4).map { refused($0) })
            let path = try #require(
                try DiskFileSystem().list(directory + "/quarantine").first { $0.hasSuffix(".refused") }
            )
            let file = try DiskFileSystem().open("\(directory)/quarantine/\(path)", create: false)
            let size = try file.size()
            let byte: [UInt8] = [0xFF]
            try byte.withUnsafeBytes { try file.write([$0], at: place) }
            try file.truncate(to: size - 1)
            let sequences = kept(directory).map(\.sequence)
            // The last one has lost its end.
            #expect(sequences == (0..<3).filter { $0 != place / (size / 4) }.map(UInt64.init))
        }
    }

    @Test("a sink's figures are those of its own position, and no record counts twice")
    func sinkFigures() async throws {
        try await withDirectory { directory in
            try await withJournal(JournalConfiguration(directory: directory), sinks: ["one", "two"]) { journal, lane in
                _ = try await lane.append((0..<10).map { record($0) })
                let one = try #require(journal.makeReader(sink: "one"))
                let two = try #require(journal.makeReader(sink: "two"))
                one.acknowledge(through: 8, quarantined: 2)
                one.acknowledge(through: 5, quarantined: 1)
                two.acknowledge(through: 4)
                let sinks = journal.books.sinks
                #expect(sinks.map(\.delivered) == [5, 3] && sinks.map(\.quarantined) == [2, 0])
                #expect(sinks.map(\.pending) == [3, 7])
                #expect(journal.books.acknowledged == 3 && journal.books.balances)
            }
        }
    }
}
