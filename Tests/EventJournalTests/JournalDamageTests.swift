import Testing

@testable import EventJournal

/// A stopped journal with a backlog, whose files are then damaged.
@Suite struct JournalDamageTests {
    private static let configuration = JournalModelTests.configuration(.fsync)

    /// Some segments of numbered records in small batches; the first ones acknowledged.
    private func backlog(stopped: Bool) throws -> (files: ModelFileSystem, batches: [ClosedRange<Int>]) {
        let files = ModelFileSystem()
        let engine = try JournalEngine(Self.configuration, sinks: ["one"], files: files, logger: quiet)
        var batches: [ClosedRange<Int>] = []
        var number = 1
        for _ in 0..<60 {
            let buffer = LaneBuffer(maxCapacity: 1 << 20, maxFrameBytes: Self.configuration.effectiveBatchBytes)
            let first = number
            for _ in 0..<6 {
                let bytes = record(number, bytes: 300)
                buffer.place(upTo: bytes.count)?.copyBytes(from: bytes)
                buffer.keep(length: bytes.count, key: 0..<0)
                number += 1
            }
            buffer.seal()
            try #require(engine.commit([buffer]) == [.durable])
            batches.append(first...number - 1)
        }
        JournalReader(engine, sink: "one", index: 0, position: 1).acknowledge(through: 31)
        engine.keepHouse(saveCursors: true)
        if stopped { engine.finish() }
        return (files, batches)
    }

    /// What a start makes of the files: the numbers it still has and what it counts as lost.
    private func start(_ files: ModelFileSystem) throws -> (found: [Int], books: JournalBooks) {
        let engine = try JournalEngine(Self.configuration, sinks: ["one"], files: files, logger: quiet)
        let reader = JournalReader(engine, sink: "one", index: 0, position: engine.books.sinks[0].nextSequence)
        var found: [Int] = []
        while let slice = reader.read(maxRecords: 1000, maxBytes: 1 << 20) {
            slice.visit { found.append(JournalModel.number(of: $0.bytes)) }
        }
        #expect(engine.books.balances)
        return (found, engine.books)
    }

    private func check(_ files: ModelFileSystem, _ batches: [ClosedRange<Int>], mayLose: Int, _ what: String) throws {
        let (found, books) = try self.start(files)
        let missing = Set(31...360).subtracting(found)
        #expect(found == found.sorted() && Set(found).count == found.count, "\(what)")
        #expect(
            books.droppedAsCorrupt == UInt64(missing.count),
            "\(what): counted \(books.droppedAsCorrupt), missing \(missing.count)"
        )
        #expect(books.pending == UInt64(found.count), "\(what)")
        let touched = batches.filter { $0.contains { missing.contains($0) } }
        #expect(touched.count <= mayLose, "\(what): \(touched.count) batches")
        // The second start sees the same, and counts it the same.
        let again = try self.start(files)
        #expect(again.found == found && again.books.droppedAsCorrupt == books.droppedAsCorrupt, "\(what), second start")
    }

    @Test("a flipped bit costs its batch at most, is counted exactly, and is kept aside", arguments: 0..<250)
    func bits(_ seed: UInt64) throws {
        var random = Seeded(seed)
        let (files, batches) = try self.backlog(stopped: true)
        let name = try #require(
            (files.names(ending: ".seg") + files.names(ending: ".cursor0")).randomElement(using: &random)
        )
        let size = files.size(of: name)
        // Mostly where there are frames.
        let offset =
            seed % 3 == 0
            ? Int.random(in: 0..<min(200, size), using: &random) : Int.random(in: 0..<size, using: &random)
        let bit = UInt8(1) << UInt8.random(in: 0...7, using: &random)
        files.damage(name) { $0[offset] ^= bit }
        try self.check(files, batches, mayLose: 1, "\(name) bit \(bit) at \(offset)")
    }

    @Test("zeros over 4 KiB cost the batches that they touch, counted exactly", arguments: 0..<80)
    func zeros(_ seed: UInt64) throws {
        var random = Seeded(seed)
        let (files, batches) = try self.backlog(stopped: true)
        let name = try #require(files.names(ending: ".seg").randomElement(using: &random))
        let block = Int.random(in: 0..<files.size(of: name) / 4096, using: &random)
        files.damage(name) {
            $0.replaceSubrange(block * 4096..<(block + 1) * 4096, with: repeatElement(0, count: 4096))
        }
        try self.check(files, batches, mayLose: 4, "\(name) block \(block)")
    }

    @Test("a file that was cut loses what was cut off, counted exactly", arguments: 0..<80)
    func cut(_ seed: UInt64) throws {
        var random = Seeded(seed)
        let (files, batches) = try self.backlog(stopped: true)
        let name = try #require(files.names(ending: ".seg").randomElement(using: &random))
        let size = Int.random(in: 0..<files.size(of: name), using: &random)
        files.damage(name) { $0.removeLast($0.count - size) }
        try self.check(files, batches, mayLose: 60, "\(name) cut to \(size)")
    }

    @Test("a last segment without its events is counted, also for a new sink", arguments: [0, 10, 64, 3_000, 4_096])
    func onlyTheHeader(_ size: Int) throws {
        let files = ModelFileSystem()
        let engine = try JournalEngine(Self.configuration, sinks: ["one"], files: files, logger: quiet)
        let buffer = LaneBuffer(maxCapacity: 1 << 20, maxFrameBytes: Self.configuration.effectiveBatchBytes)
        for number in 1...6 {
            let bytes = record(number, bytes: 300)
            buffer.place(upTo: bytes.count)?.copyBytes(from: bytes)
            buffer.keep(length: bytes.count, key: 0..<0)
        }
        buffer.seal()
        try #require(engine.commit([buffer]) == [.durable])
        engine.finish()
        let name = try #require(files.names(ending: ".seg").last)
        files.damage(name) { $0.removeSubrange(size...) }
        let next = try JournalEngine(Self.configuration, sinks: ["another"], files: files, logger: quiet)
        #expect(next.books.droppedAsCorrupt == 6)
        #expect(next.books.appended == 6)
        #expect(next.books.balances)
    }

    @Test("where the copy of the header stands there is no frame, whatever the bytes look like")
    func copyOfTheHeader() throws {
        let block = JournalFormat.block
        let header = SegmentHeader(
            id: 7,
            firstSequence: 1,
            segmentBytes: 24 << 10,
            instance: InstanceID(high: 1, low: 2),
            createdMilliseconds: 1
        )
        let files = ModelFileSystem()
        // The first header is gone, the copy ends a file that was cut to three blocks, and behind it in the same block
        // stands the end of a write: the space in front of that, with the copy in it, would be marked as torn.
        let frame = FrameHeader(length: 16, count: 1, firstSequence: 5, milliseconds: 1, before: 4)
        var bytes = [UInt8](repeating: 0, count: 3 * block)
        bytes.withUnsafeMutableBytes {
            guard let base = $0.baseAddress else { return }
            header.write(to: base + 2 * block)
            frame.write(to: base + 2 * block + 64, seed: header.seed)
        }
        let file = try files.open(JournalPaths(directory: "journal").segment(7), create: true)
        try bytes.withUnsafeBytes { try file.write([$0], at: 0) }
        let first = try self.start(files)
        let second = try self.start(files)
        #expect(first.books.appended == 0 && second.books.appended == 0)
        #expect(first.found == [] && second.found == [])
    }

    @Test("damaged bytes are in the quarantine before their segment goes")
    func quarantine() throws {
        let (files, _) = try self.backlog(stopped: true)
        let name = try #require(files.names(ending: ".seg").first)
        files.damage(name) { $0[4096 + 2000] ^= 1 }
        _ = try self.start(files)
        #expect(files.names(ending: ".damaged").count == 1)
    }

    @Test("lost cursors cost duplicates only")
    func cursors() throws {
        let (files, _) = try self.backlog(stopped: true)
        for name in files.names(ending: ".cursor0") + files.names(ending: ".cursor1") { try files.remove(name) }
        let (found, books) = try self.start(files)
        #expect(found == Array(1...360))
        #expect(books.droppedAsCorrupt == 0)
    }

    @Test("a segment of a newer format is found, one with a flipped bit in its version is not")
    func newerFormat() throws {
        let (files, _) = try self.backlog(stopped: true)
        let name = try #require(files.names(ending: ".seg").first)
        #expect(JournalRecovery.newerVersion(in: "journal", files) == nil)
        files.damage(name) { $0[8] = 2 }
        #expect(JournalRecovery.newerVersion(in: "journal", files) == 2)
        files.damage(name) { $0[8] = 1 ^ 8 }
        #expect(JournalRecovery.newerVersion(in: "journal", files) == nil)
    }
}
