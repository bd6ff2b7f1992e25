import NIOConcurrencyHelpers
import NIOPosix
import Testing

@testable import EventJournal

@Suite struct FreshRecordsTests {
    @Test("a sink that keeps up never reads from disk, beside one that reads its backlog from there")
    func memoryFirst() async throws {
        let bytesRead = NIOLockedValueBox(0)
        let files = WatchedFileSystem(.init(didRead: { count in bytesRead.withLockedValue { $0 += count } }))
        var configuration = JournalModelTests.configuration(.fsync)
        configuration.maxBytes = 4 << 20
        // Several chunks: the oldest goes when a new one begins.
        configuration.ringBytes = 1 << 20
        let engine = try JournalEngine(configuration, sinks: ["quick", "slow"], files: files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        defer { journal.close() }
        let lane = try await LaneDriver.make(journal, on: MultiThreadedEventLoopGroup.singleton.any())
        let quick = try #require(journal.makeReader(sink: "quick"))
        let atStart = bytesRead.withLockedValue { $0 }
        var read: [[UInt8]] = []
        // Several times what memory keeps.
        for start in stride(from: 0, to: 20_000, by: 50) {
            let outcomes = try await lane.append((start..<start + 50).map { record($0, bytes: 100) })
            #expect(outcomes.allSatisfy { $0 == .durable })
            let news = drain(quick)
            read += news
            quick.acknowledge(through: quick.position)
        }
        #expect(read == (0..<20_000).map { record($0, bytes: 100) })
        #expect(bytesRead.withLockedValue { $0 } == atStart)
        let slow = try #require(journal.makeReader(sink: "slow"))
        #expect(drain(slow) == read)
        #expect(bytesRead.withLockedValue { $0 } > atStart + (1 << 20))
        // Having caught up, it reads from memory too.
        let caughtUp = bytesRead.withLockedValue { $0 }
        _ = try await lane.append([record(20_000)])
        #expect(drain(slow) == [record(20_000)])
        #expect(bytesRead.withLockedValue { $0 } == caughtUp)
    }
}
