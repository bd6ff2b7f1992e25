import ProbeSupport
import Testing

@testable import EventJournal

@Suite struct KilledProcessTests {
    @Test(
        "a process killed at any instant loses no accepted event",
        arguments: [JournalConfiguration.Durability.fsync, .write]
    )
    func killed(_ durability: JournalConfiguration.Durability) async throws {
        try await withDirectory { directory in
            var accepted: Set<Int> = []
            var found: Set<Int> = []
            for round in 0..<15 {
                let first = (round + 1) * 1_000_000
                let probe = try #require(ProbeProcess(["journal", directory, durability.rawValue, "\(first)"]))
                probe.awaitOutput()
                let lines = probe.kill(after: UInt32(5000 + round * 2311 % 40_000))
                let numbers = lines.compactMap { Int($0) }
                #expect(!numbers.isEmpty)
                accepted.formUnion(numbers)
                // The archive finds them without a start, a start finds them too.
                var archive = JournalArchive(directory: directory)
                var archived: Set<Int> = []
                archive.read { record, _ in archived.insert(JournalModel.number(of: record.bytes)) }
                #expect(Set(numbers).isSubset(of: archived))
                let journal = try EventJournal.open(
                    JournalConfiguration(directory: directory),
                    sinks: ["sink"],
                    logger: quiet
                )
                #expect(journal.books.droppedAsCorrupt == 0)
                let reader = try #require(journal.makeReader(sink: "sink"))
                while let slice = reader.read(maxRecords: 1000, maxBytes: 1 << 20) {
                    slice.visit { found.insert(JournalModel.number(of: $0.bytes)) }
                }
                reader.acknowledge(through: reader.position)
                journal.close()
            }
            #expect(accepted.count > 1000)
            #expect(accepted.isSubset(of: found), "missing \(accepted.subtracting(found).sorted().prefix(10))")
        }
    }
}
