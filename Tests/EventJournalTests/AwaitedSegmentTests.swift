import Testing

@testable import EventJournal

@Suite("Segments that a commit waited for")
struct AwaitedSegmentTests {
    /// An engine in its usual sizes and what it was given.
    private struct Journal {
        let engine: JournalEngine
        var records = 0

        init(_ durability: JournalConfiguration.Durability, _ files: ModelFileSystem) throws {
            var configuration = JournalConfiguration(directory: "/journal")
            configuration.durability = durability
            self.engine = try JournalEngine(configuration, sinks: ["one"], files: files, logger: quiet)
        }

        var segmentBytes: [Int] { self.engine.withLedger { $0.segments.map(\.fileBytes) } }

        /// One batch, in records of some 1,000 bytes.
        mutating func commit(kibibytes: Int) -> BatchOutcome {
            let buffer = LaneBuffer(maxCapacity: 16 << 20, maxFrameBytes: 1 << 20)
            for _ in 0..<kibibytes {
                let bytes = record(self.records, bytes: 1_000)
                self.records += 1
                buffer.place(upTo: bytes.count)?.copyBytes(from: bytes)
                buffer.keep(length: bytes.count, key: 0..<0)
            }
            buffer.seal()
            return self.engine.commit([buffer])[0]
        }

        /// Writes to a segment of the usual size, with none prepared behind it.
        mutating func reachWholeSegment() {
            #expect(self.commit(kibibytes: 3_000) == .durable)
            self.engine.keepHouse(saveCursors: false)
            #expect(self.commit(kibibytes: 2_000) == .durable)
            #expect(self.segmentBytes == [4 << 20, 16 << 20])
            #expect(!self.engine.spares.isReady)
        }
    }

    private func readBack(_ files: ModelFileSystem) throws -> [[UInt8]] {
        let engine = try Journal(.fsync, files).engine
        #expect(engine.books.droppedAsCorrupt == 0)
        return drain(JournalReader(engine, sink: "one", index: 0, position: 1))
    }

    private func expectAll(_ journal: Journal, in files: ModelFileSystem) throws {
        let expected = (0..<journal.records).map { record($0, bytes: 1_000) }
        #expect(try self.readBack(files) == expected)
    }

    @Test("a batch that is larger than a waiting commit's least segment survives a sync that fails")
    func largeBatch() throws {
        let files = ModelFileSystem()
        var journal = try Journal(.fsync, files)
        journal.reachWholeSegment()
        files.setFaults(.init(failingSyncs: 1))
        #expect(journal.commit(kibibytes: 6_000) == .durable)
        #expect(journal.engine.books.syncErrors == 1)
        try self.expectAll(journal, in: files)
    }

    @Test("what no sync covers yet is written once more as a whole, however much it is")
    func largeRewrite() throws {
        let files = ModelFileSystem()
        var journal = try Journal(.write, files)
        journal.reachWholeSegment()
        journal.engine.syncBehind()
        #expect(journal.commit(kibibytes: 6_000) == .durable)
        files.setFaults(.init(failingSyncs: 1))
        journal.engine.syncBehind()
        #expect(journal.engine.books.syncErrors == 1 && journal.engine.refusal == nil)
        #expect(journal.segmentBytes.last == 16 << 20)
        try self.expectAll(journal, in: files)
    }

    @Test("nobody who waits gets a prepared segment that is too small for him")
    func tooSmall() throws {
        let configuration = JournalConfiguration(directory: "/journal")
        let files = ModelFileSystem()
        try files.makeDirectory("/journal")
        let spares = SpareSegments(files, configuration, nextID: 1, existing: [])
        try spares.awaiting(1 << 20) { () throws(IOFailure) in try spares.prepare { _ in true } }
        #expect(spares.isReady)
        let spare = try spares.take(bytes: 16 << 20, enough: 2 << 20) { _ in true }.spare
        #expect(spare.bytes == 16 << 20)
        #expect(files.names(ending: ".spare").count == 1)
    }

    @Test("where the segment before is too small to come back the next one is begun early")
    func begunEarly() throws {
        var journal = try Journal(.fsync, ModelFileSystem())
        journal.reachWholeSegment()
        journal.engine.keepHouse(saveCursors: false)
        #expect(!journal.engine.spares.isReady)
        #expect(journal.commit(kibibytes: 1_400) == .durable)
        journal.engine.keepHouse(saveCursors: false)
        #expect(journal.engine.spares.isReady)
    }
}
