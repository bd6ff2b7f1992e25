import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import EventJournal

/// The model's disk with syncs that hang while a test says so.
private final class HangingFileSystem: JournalFileSystem {
    let hangs = ConditionLock(value: 0)
    private let model = ModelFileSystem()

    /// Syncs wait from now on.
    func hang() {
        self.hangs.lock()
        self.hangs.unlock(withValue: 1)
    }

    func goOn() {
        self.hangs.lock()
        self.hangs.unlock(withValue: 0)
    }

    func list(_ directory: String) throws(IOFailure) -> [String] { try self.model.list(directory) }
    func makeDirectory(_ path: String) throws(IOFailure) {}
    func open(_ path: String, create: Bool) throws(IOFailure) -> any JournalFile {
        HangingFile(try self.model.open(path, create: create), self)
    }
    func rename(_ path: String, to newPath: String) throws(IOFailure) { try self.model.rename(path, to: newPath) }
    func remove(_ path: String) throws(IOFailure) { try self.model.remove(path) }
    func syncDirectory(_ path: String) throws(IOFailure) { try self.model.syncDirectory(path) }
    func freeBytes(_ path: String) throws(IOFailure) -> Int { try self.model.freeBytes(path) }
}

private final class HangingFile: JournalFile {
    private let file: any JournalFile
    private let system: HangingFileSystem

    init(_ file: any JournalFile, _ system: HangingFileSystem) {
        self.file = file
        self.system = system
    }

    func size() throws(IOFailure) -> Int { try self.file.size() }
    func write(_ parts: [UnsafeRawBufferPointer], at offset: Int) throws(IOFailure) {
        try self.file.write(parts, at: offset)
    }
    func read(into place: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOFailure) -> Int {
        try self.file.read(into: place, at: offset)
    }
    func truncate(to size: Int) throws(IOFailure) { try self.file.truncate(to: size) }
    func sync() throws(IOFailure) {
        self.system.hangs.lock(whenValue: 0)
        self.system.hangs.unlock()
        try self.file.sync()
    }
}

@Suite struct HangingDiskTests {
    @Test(
        "a sync that hangs holds up neither the loop nor the books; its batch is unavailable in time, and all is well after"
    )
    func hangingSync() async throws {
        let files = HangingFileSystem()
        var configuration = JournalModelTests.configuration(.fsync)
        configuration.commitTimeout = 200
        let engine = try JournalEngine(configuration, sinks: ["one"], files: files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let lane = try await LaneDriver.make(journal, on: loop)
        #expect(try await lane.append([record(1)]) == [.durable])
        files.hang()
        let began = NIODeadline.now()
        #expect(try await lane.append([record(2), record(3)]) == [.failed(.unavailable), .failed(.unavailable)])
        #expect(NIODeadline.now() - began < .seconds(2))
        // While it hangs a new record is refused at once, and the books answer.
        #expect(try await lane.append([record(4)]) == [.failed(.unavailable)])
        #expect(journal.books.balances)
        files.goOn()
        var outcome: BatchOutcome? = .failed(.unavailable)
        while outcome != .durable { outcome = try await lane.append([record(5)])[0] }
        let numbers = try await lane.settledBatches
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count)
        #expect(journal.books.balances)
        journal.close()
    }

    @Test("without waiting for syncs, a sync that hangs refuses once the window cannot hold, and all is well after")
    func hangingSyncBehind() async throws {
        let files = HangingFileSystem()
        var configuration = JournalModelTests.configuration(.write)
        configuration.commitTimeout = 200
        configuration.syncInterval = 10
        let engine = try JournalEngine(configuration, sinks: ["one"], files: files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        let lane = try await LaneDriver.make(journal, on: MultiThreadedEventLoopGroup.singleton.any())
        files.hang()
        var number = 1
        var outcome: BatchOutcome? = .durable
        while outcome == .durable, number < 1_000_000 {
            outcome = try await lane.append([record(number)])[0]
            number += 1
        }
        #expect(outcome == .failed(.unavailable))
        #expect(journal.books.balances)
        files.goOn()
        while outcome != .durable { outcome = try await lane.append([record(number)])[0] }
        #expect(journal.books.balances)
        journal.close()
    }
}
