import Testing

@testable import EventJournal

@Suite struct BoundTests {
    private func engine(
        _ policy: JournalConfiguration.FullPolicy,
        _ files: ModelFileSystem,
        ringBytes: Int = 0
    ) throws -> JournalEngine {
        var configuration = JournalModelTests.configuration(.fsync)
        configuration.whenFull = policy
        configuration.ringBytes = ringBytes
        return try JournalEngine(configuration, sinks: ["one"], files: files, logger: quiet)
    }

    /// Commits batches of ten until something else than `.durable` comes back, a thousand at most.
    private func fill(_ engine: JournalEngine, batches: Int = 1000) -> (durable: Int, last: BatchOutcome) {
        for count in 0..<batches {
            let buffer = LaneBuffer(maxCapacity: 1 << 20, maxFrameBytes: 8 << 10)
            for number in 0..<10 {
                let bytes = record(count * 10 + number, bytes: 400)
                buffer.place(upTo: bytes.count)?.copyBytes(from: bytes)
                buffer.keep(length: bytes.count, key: 0..<0)
            }
            buffer.seal()
            let outcome = engine.commit([buffer])[0]
            engine.keepHouse(saveCursors: false)
            if outcome != .durable { return (count * 10, outcome) }
        }
        return (batches * 10, .durable)
    }

    @Test("at the bound events are refused, nothing else changes, and delivery makes room")
    func reject() throws {
        let files = ModelFileSystem()
        let engine = try self.engine(.reject, files)
        let (durable, last) = self.fill(engine)
        #expect(last == .failed(.full))
        #expect(engine.refusal == .full)
        #expect(engine.books.state == .full)
        #expect(engine.books.appended == UInt64(durable) && engine.books.pending == UInt64(durable))
        let segments = files.names(ending: ".seg") + files.names(ending: ".spare")
        #expect(segments.reduce(0) { $0 + files.size(of: $1) } <= 512 << 10)
        let reader = JournalReader(engine, sink: "one", index: 0, position: 1)
        #expect(drain(reader).count == durable)
        reader.acknowledge(through: reader.position)
        engine.keepHouse(saveCursors: true)
        #expect(engine.refusal == nil)
        #expect(self.fill(engine, batches: 20).last == .durable)
        #expect(engine.books.balances)
    }

    @Test("at the bound the oldest go, and are counted one by one")
    func dropOldest() throws {
        let engine = try self.engine(.dropOldest, ModelFileSystem())
        #expect(self.fill(engine, batches: 500).last == .durable)
        let books = engine.books
        #expect(books.appended == 5000 && books.balances)
        #expect(books.droppedAtBound > 3000)
        let reader = JournalReader(engine, sink: "one", index: 0, position: books.sinks[0].nextSequence)
        #expect(UInt64(drain(reader).count) == books.pending)
    }

    @Test(
        "what a sink has in its hands is delivered and not counted as dropped, whatever goes at the bound",
        arguments: [0, 16 << 20]
    )
    func dropUnderReader(_ ringBytes: Int) throws {
        let files = ModelFileSystem()
        let engine = try self.engine(.dropOldest, files, ringBytes: ringBytes)
        #expect(self.fill(engine, batches: 10).last == .durable)
        let reader = JournalReader(engine, sink: "one", index: 0, position: 1)
        let held = try #require(reader.read(maxRecords: 30, maxBytes: 1 << 20))
        #expect(self.fill(engine, batches: 490).last == .durable)
        let full = engine.books
        #expect(full.appended == 5000 && full.droppedAtBound > 3000 && full.balances)
        let rest = drain(reader)
        reader.acknowledge(through: held.endSequence)
        #expect(engine.books.acknowledged == UInt64(held.count))
        reader.acknowledge(through: reader.position)
        let books = engine.books
        #expect(UInt64(held.count + rest.count) == 5000 - books.droppedAtBound)
        #expect(books.droppedAtBound == full.droppedAtBound && books.droppedAsCorrupt == 0)
        #expect(books.pending == 0 && books.balances)
    }

    @Test(
        "what a sink had in its hands when the process ended is counted by the next start, if the bound took the rest"
    )
    func dropUnderReaderAndEnd() throws {
        let files = ModelFileSystem()
        var engine = try self.engine(.dropOldest, files)
        #expect(self.fill(engine, batches: 10).last == .durable)
        let reader = JournalReader(engine, sink: "one", index: 0, position: 1)
        let held = try #require(reader.read(maxRecords: 30, maxBytes: 1 << 20))
        #expect(self.fill(engine, batches: 490).last == .durable)
        // The next start has a segment to begin with, and drops nothing for want of one.
        while !engine.spares.isReady { #expect(self.fill(engine, batches: 1).last == .durable) }
        let before = engine.books
        engine = try self.engine(.dropOldest, files)
        let books = engine.books
        #expect(books.droppedAtBound == UInt64(held.count) && books.droppedAsCorrupt == 0)
        #expect(books.pending + books.droppedAtBound == before.pending && books.balances)
    }

    @Test("what a sink has read before it was in the books is in its hands as well")
    func readAheadOfTheBooks() throws {
        let engine = try self.engine(.dropOldest, ModelFileSystem())
        #expect(self.fill(engine, batches: 10).last == .durable)
        // 100 events are in the books; the last 20 of these come a moment later.
        #expect(engine.withLedger { $0.took(0, 1..<121) } == nil)
        #expect(self.fill(engine, batches: 490).last == .durable)
        #expect(engine.books.droppedAtBound > 3000)
        engine.withLedger { $0.acknowledged(0, below: 121) }
        #expect(engine.books.acknowledged == 120 && engine.books.balances)
    }

    @Test("at the bound a position that can't be saved refuses, and does not hang")
    func dropWithoutCursor() throws {
        let files = ModelFileSystem()
        let engine = try self.engine(.dropOldest, files)
        #expect(self.fill(engine, batches: 100).last == .durable)
        files.setFaults(.init(space: 0, failingWrites: 1000))
        #expect(self.fill(engine, batches: 200).last != .durable)
        files.setFaults(.init())
        engine.keepHouse(saveCursors: true)
        #expect(self.fill(engine, batches: 200).last == .durable)
        #expect(engine.books.balances)
    }

    @Test("at the bound events are answered and counted as dropped")
    func answerUnrecorded() throws {
        let engine = try self.engine(.answerUnrecorded, ModelFileSystem())
        #expect(self.fill(engine, batches: 500).last == .durable)
        let books = engine.books
        #expect(books.appended == 5000 && books.balances)
        let reader = JournalReader(engine, sink: "one", index: 0, position: 1)
        #expect(UInt64(drain(reader).count) == books.pending)
        #expect(books.droppedAtBound == 5000 - books.pending)
    }

    @Test("a sync that fails once costs nothing but a segment; one that fails on is unavailable, and ends by itself")
    func failingSync() throws {
        let files = ModelFileSystem()
        let engine = try self.engine(.reject, files)
        files.setFaults(.init(failingSyncs: 1))
        #expect(self.fill(engine, batches: 1).last == .durable)
        #expect(engine.books.syncErrors == 1 && engine.books.state == .ok)
        files.setFaults(.init(failingSyncs: 1000))
        #expect(self.fill(engine).last == .failed(.unavailable))
        #expect(engine.refusal == .unavailable)
        files.setFaults(.init())
        engine.keepHouse(saveCursors: false)
        #expect(engine.refusal == nil)
        #expect(self.fill(engine, batches: 1).last == .durable)
        #expect(engine.books.balances && engine.books.pending == 20)
    }

    @Test("a full disk refuses, and space that comes back is used")
    func fullDisk() throws {
        let files = ModelFileSystem()
        let engine = try self.engine(.reject, files)
        files.setFaults(.init(space: 100_000))
        #expect(self.fill(engine).last == .failed(.full))
        files.setFaults(.init())
        engine.keepHouse(saveCursors: false)
        #expect(engine.refusal == nil)
        #expect(engine.books.balances && engine.books.droppedAsCorrupt == 0)
    }
}
