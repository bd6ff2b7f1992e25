import Glibc
import NIOConcurrencyHelpers
import NIOPosix
import Testing

@testable import EventJournal

/// The model's disk, which counts how much is read from it.
private final class CountingFileSystem: JournalFileSystem {
    private let model = ModelFileSystem()
    let bytesRead = NIOLockedValueBox(0)

    func list(_ directory: String) throws(IOFailure) -> [String] { try self.model.list(directory) }
    func makeDirectory(_ path: String) throws(IOFailure) {}
    func open(_ path: String, create: Bool) throws(IOFailure) -> any JournalFile {
        CountingFile(try self.model.open(path, create: create), self)
    }
    func rename(_ path: String, to newPath: String) throws(IOFailure) { try self.model.rename(path, to: newPath) }
    func remove(_ path: String) throws(IOFailure) { try self.model.remove(path) }
    func syncDirectory(_ path: String) throws(IOFailure) { try self.model.syncDirectory(path) }
    func freeBytes(_ path: String) throws(IOFailure) -> Int { try self.model.freeBytes(path) }
}

private final class CountingFile: JournalFile {
    private let file: any JournalFile
    private let system: CountingFileSystem

    init(_ file: any JournalFile, _ system: CountingFileSystem) {
        self.file = file
        self.system = system
    }

    func size() throws(IOFailure) -> Int { try self.file.size() }
    func write(_ parts: [UnsafeRawBufferPointer], at offset: Int) throws(IOFailure) {
        try self.file.write(parts, at: offset)
    }
    func read(into place: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOFailure) -> Int {
        let count = try self.file.read(into: place, at: offset)
        self.system.bytesRead.withLockedValue { $0 += count }
        return count
    }
    func truncate(to size: Int) throws(IOFailure) { try self.file.truncate(to: size) }
    func sync() throws(IOFailure) { try self.file.sync() }
}

@Suite struct FreshRecordsTests {
    @Test("a sink that keeps up never reads from disk, beside one that reads its backlog from there")
    func memoryFirst() async throws {
        let files = CountingFileSystem()
        var configuration = JournalModelTests.configuration(.fsync)
        configuration.maxBytes = 4 << 20
        // Several chunks: the oldest goes when a new one begins.
        configuration.ringBytes = 1 << 20
        let engine = try JournalEngine(configuration, sinks: ["quick", "slow"], files: files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        defer { journal.close() }
        let lane = try await LaneDriver.make(journal, on: MultiThreadedEventLoopGroup.singleton.any())
        let quick = try #require(journal.makeReader(sink: "quick"))
        let atStart = files.bytesRead.withLockedValue { $0 }
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
        #expect(files.bytesRead.withLockedValue { $0 } == atStart)
        let slow = try #require(journal.makeReader(sink: "slow"))
        #expect(drain(slow) == read)
        #expect(files.bytesRead.withLockedValue { $0 } > atStart + (1 << 20))
        // Having caught up, it reads from memory too.
        let caughtUp = files.bytesRead.withLockedValue { $0 }
        _ = try await lane.append([record(20_000)])
        #expect(drain(slow) == [record(20_000)])
        #expect(files.bytesRead.withLockedValue { $0 } == caughtUp)
    }
}
