import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import EventJournal

/// A disk that hangs while a test says so.
private final class HangingDisk: Sendable {
    enum Writes {
        case go
        case hang
        /// The next one of this loop, and from then on the disk hangs; a spare segment that is being made ready meanwhile has
        /// no part in it.
        case failOnce(on: any EventLoop)
    }

    private let hangs = ConditionLock(value: 0)
    private let writes = NIOLockedValueBox(Writes.go)

    var files: WatchedFileSystem {
        WatchedFileSystem(
            .init(
                willWrite: { () throws(IOFailure) in
                    let writes = self.writes.withLockedValue { writes in
                        guard case .failOnce(let loop) = writes else { return writes }
                        guard loop.inEventLoop else { return .go }
                        defer { writes = .go }
                        return writes
                    }
                    switch writes {
                    case .go: break
                    case .hang: self.waitWhileHanging()
                    case .failOnce:
                        self.hang()
                        throw IOFailure(code: EIO, call: "pwrite", path: "")
                    }
                },
                willSync: { self.waitWhileHanging() }
            )
        )
    }

    var hasYetToFail: Bool {
        self.writes.withLockedValue { if case .failOnce = $0 { true } else { false } }
    }

    private func waitWhileHanging() {
        self.hangs.lock(whenValue: 0)
        self.hangs.unlock()
    }

    func write(_ writes: Writes) { self.writes.withLockedValue { $0 = writes } }

    /// Syncs wait from now on.
    func hang() {
        self.hangs.lock()
        self.hangs.unlock(withValue: 1)
    }

    func goOn() {
        self.hangs.lock()
        self.hangs.unlock(withValue: 0)
    }

    /// Goes on in the end also where a loop is held up by it, so that the test can say so.
    func withRescue(_ body: () async throws -> Void) async throws {
        let rescue = Task {
            try await Task.sleep(for: .seconds(5))
            self.goOn()
        }
        defer { rescue.cancel() }
        try await body()
    }
}

@Suite struct HangingDiskTests {
    @Test(
        "a sync that hangs holds up neither the loop nor the books; its batch is unavailable in time, and all is well after"
    )
    func hangingSync() async throws {
        let disk = HangingDisk()
        var configuration = JournalModelTests.configuration(.fsync)
        configuration.commitTimeout = 200
        let engine = try JournalEngine(configuration, sinks: ["one"], files: disk.files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let lane = try await LaneDriver.make(journal, on: loop)
        #expect(try await lane.append([record(1)]) == [.durable])
        disk.hang()
        let began = NIODeadline.now()
        #expect(try await lane.append([record(2), record(3)]) == [.failed(.unavailable), .failed(.unavailable)])
        #expect(NIODeadline.now() - began < .seconds(2))
        // While it hangs a new record is refused at once, and the books answer.
        #expect(try await lane.append([record(4)]) == [.failed(.unavailable)])
        #expect(journal.books.balances)
        disk.goOn()
        var outcome: BatchOutcome? = .failed(.unavailable)
        while outcome != .durable { outcome = try await lane.append([record(5)])[0] }
        let numbers = try await lane.settledBatches
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count)
        #expect(journal.books.balances)
        journal.close()
    }

    @Test("without waiting for syncs, a sync that hangs refuses once the window cannot hold, and all is well after")
    func hangingSyncBehind() async throws {
        let disk = HangingDisk()
        var configuration = JournalModelTests.configuration(.write)
        configuration.commitTimeout = 200
        configuration.syncInterval = 10
        let engine = try JournalEngine(configuration, sinks: ["one"], files: disk.files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        let lane = try await LaneDriver.make(journal, on: MultiThreadedEventLoopGroup.singleton.any())
        disk.hang()
        var number = 1
        var outcome: BatchOutcome? = .durable
        while outcome == .durable, number < 1_000_000 {
            outcome = try await lane.append([record(number)])[0]
            number += 1
        }
        #expect(outcome == .failed(.unavailable))
        #expect(journal.books.balances)
        disk.goOn()
        while outcome != .durable { outcome = try await lane.append([record(number)])[0] }
        #expect(journal.books.balances)
        journal.close()
    }

    @Test("a write that hangs as well holds up the writer, never the loop")
    func hangingWrite() async throws {
        let disk = HangingDisk()
        var configuration = JournalModelTests.configuration(.write)
        configuration.commitTimeout = 200
        configuration.syncInterval = 10
        let engine = try JournalEngine(configuration, sinks: ["one"], files: disk.files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        let lane = try await LaneDriver.make(journal, on: MultiThreadedEventLoopGroup.singleton.any())
        disk.hang()
        while engine.syncAge < 6_000_000 { #expect(try await lane.append([record(1)]) == [.durable]) }
        disk.write(.hang)
        try await disk.withRescue {
            let began = NIODeadline.now()
            let outcomes = try await lane.append([record(2)])
            #expect(outcomes == [.failed(.unavailable)])
            #expect(NIODeadline.now() - began < .seconds(2))
        }
        disk.write(.go)
        disk.goOn()
        var outcome: BatchOutcome? = .failed(.unavailable)
        while outcome != .durable { outcome = try await lane.append([record(3)])[0] }
        #expect(journal.books.balances)
        journal.close()
    }

    @Test("a write that fails on a loop is made good by the writer: a new segment and its sync hold up nobody else")
    func failingWrite() async throws {
        let disk = HangingDisk()
        var configuration = JournalModelTests.configuration(.write)
        configuration.commitTimeout = 200
        // None by itself during the test.
        configuration.syncInterval = 600_000
        let engine = try JournalEngine(configuration, sinks: ["one"], files: disk.files, logger: quiet)
        let journal = try EventJournal(engine, nil)
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let lane = try await LaneDriver.make(journal, on: loop)
        #expect(try await lane.append([record(1)]) == [.durable])
        var number = 1
        try await disk.withRescue {
            var outcome: BatchOutcome? = .durable
            var began = NIODeadline.now()
            // The first may find a spare segment that is ready and needs no sync; while the disk hangs there is no second one.
            for _ in 0..<3 where outcome == .durable {
                disk.write(.failOnce(on: loop))
                // What the writer has to do of its own at first may take a batch along.
                while disk.hasYetToFail, outcome == .durable {
                    number += 1
                    began = .now()
                    outcome = try await lane.append([record(number)])[0]
                }
            }
            #expect(outcome == .failed(.unavailable))
            #expect(NIODeadline.now() - began < .seconds(2))
        }
        disk.goOn()
        number += 1
        var outcome: BatchOutcome? = .failed(.unavailable)
        while outcome != .durable { outcome = try await lane.append([record(number)])[0] }
        #expect(journal.books.balances)
        let reader = try #require(journal.makeReader(sink: "one"))
        // The one that was answered as unavailable is there all the same, as it may be.
        #expect(drain(reader) == (1...number).map { record($0) })
        journal.close()
    }
}
