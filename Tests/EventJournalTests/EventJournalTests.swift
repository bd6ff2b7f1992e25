import CChecksum
import NIOCore
import NIOPosix
import Testing

@testable import EventJournal

@Suite struct EventJournalTests {
    @Test(
        "what was appended is read in order, and leaves the books when it is acknowledged",
        arguments: JournalConfiguration.Durability.allCases
    )
    func roundTrip(_ durability: JournalConfiguration.Durability) async throws {
        try await withDirectory { directory in
            var configuration = JournalConfiguration(directory: directory)
            configuration.durability = durability
            try await withJournal(configuration) { journal, lane in
                let records = (0..<1000).map { record($0) }
                for start in stride(from: 0, to: 1000, by: 100) {
                    let outcomes = try await lane.append(Array(records[start..<start + 100]))
                    #expect(outcomes.allSatisfy { $0 == .durable })
                }
                let reader = try #require(journal.makeReader(sink: "one"))
                var read: [[UInt8]] = []
                while read.count < 1000 {
                    let slice = await reader.next(
                        maxRecords: 300,
                        maxBytes: 1 << 20,
                        maxWait: .milliseconds(50),
                        on: lane.loop
                    )
                    slice?.visit { record in
                        read.append(Array(record.bytes))
                        #expect(Array(record.key) == Array("even".utf8))
                    }
                }
                #expect(read == records)
                #expect(journal.books.pending == 1000)
                reader.acknowledge(through: 1001)
                #expect(journal.books.acknowledged == 1000)
                #expect(journal.books.pending == 0)
                #expect(journal.books.balances)
                let numbers = try await lane.settledBatches
                #expect(numbers == Array(1...UInt64(numbers.count)))
            }
        }
    }

    @Test("a restart finds everything that was not acknowledged, and nothing that was")
    func restart() async throws {
        try await withDirectory { directory in
            let configuration = JournalConfiguration(directory: directory)
            try await withJournal(configuration) { journal, lane in
                _ = try await lane.append((0..<50).map { record($0) })
                journal.makeReader(sink: "one")?.acknowledge(through: 21)
            }
            try await withJournal(configuration) { journal, lane in
                #expect(journal.books.appended == 30)
                #expect(journal.books.pending == 30)
                _ = try await lane.append((50..<60).map { record($0) })
                let reader = try #require(journal.makeReader(sink: "one"))
                #expect(drain(reader) == (20..<60).map { record($0) })
            }
        }
    }

    @Test("a second journal on the directory is refused")
    func locked() async throws {
        try await withDirectory { directory in
            let configuration = JournalConfiguration(directory: directory)
            try await withJournal(configuration) { _, _ in
                let error = #expect(throws: JournalOpenError.self) {
                    try EventJournal.open(configuration, sinks: [], logger: quiet)
                }
                #expect(error?.code == .locked)
            }
        }
    }

    @Test("segments change without a trace in what is read, from memory or from disk", arguments: [0, 16 << 20])
    func rotation(_ ringBytes: Int) async throws {
        try await withDirectory { directory in
            var configuration = JournalConfiguration(directory: directory)
            configuration.segmentBytes = 64 << 10
            configuration.ringBytes = ringBytes
            try await withJournal(configuration) { journal, lane in
                let records = (0..<5000).map { record($0, bytes: 200) }
                for start in stride(from: 0, to: 5000, by: 250) {
                    _ = try await lane.append(Array(records[start..<start + 250]))
                }
                let reader = try #require(journal.makeReader(sink: "one"))
                let read = drain(reader, records: 77)
                #expect(read == records)
                reader.acknowledge(through: 5001)
                #expect(journal.books.balances)
                #expect(journal.books.droppedAsCorrupt == 0)
            }
        }
    }

    @Test("the instruction and the table agree with each other and with RFC 3720")
    func checksum() {
        #expect(Checksum.of(Array("123456789".utf8)) == 0xE306_9283)
        for length in 0..<100 {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            #expect(crc32c(7, bytes, length) == crc32c_by_table(7, bytes, length))
        }
    }
}
