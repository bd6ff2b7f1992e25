import Synchronization
import Testing

@testable import EventJournal

/// Syncs of a disk so far, and who does what at one of them.
private final class Syncs: Sendable {
    let count = Atomic<Int>(0)
    let spares = Mutex<SpareSegments?>(nil)
    private let taker = Mutex<BlockingThread?>(nil)

    /// As a commit that needs a segment now; returns when it waits.
    func take(_ bytes: Int) {
        guard let spares = self.spares.withLock({ $0 }) else { return }
        self.taker.withLock {
            $0 = BlockingThread {
                _ = try? spares.awaiting { () throws(IOFailure) in try spares.take(bytes: bytes) { _ in true } }
            }
        }
        while !spares.isAwaited.load(ordering: .relaxed) {}
    }

    func join() { self.taker.withLock { $0?.join() } }
}

@Suite struct SpareSegmentsTests {
    private let configuration = JournalConfiguration(directory: "/journal")

    private func spares(_ syncs: Syncs, atSync: @escaping @Sendable (Int) -> Void = { _ in }) -> SpareSegments {
        let files = WatchedFileSystem(
            .init(willSync: { atSync(syncs.count.add(1, ordering: .relaxed).newValue) })
        )
        let spares = SpareSegments(files, self.configuration, nextID: 1, existing: [])
        syncs.spares.withLock { $0 = spares }
        return spares
    }

    @Test("a spare goes to the disk in small parts, so that commits find it free in between")
    func parts() throws {
        let syncs = Syncs()
        let spares = self.spares(syncs)
        try spares.prepare { _ in true }
        #expect(spares.isReady)
        #expect(syncs.count.load(ordering: .relaxed) == self.configuration.effectiveSegmentBytes / (512 << 10))
    }

    @Test("a commit that needs the spare which is being made waits for no part of it")
    func awaited() throws {
        let syncs = Syncs()
        let bytes = self.configuration.effectiveSegmentBytes
        let spares = self.spares(syncs) { if $0 == 3 { syncs.take(bytes) } }
        try spares.prepare { _ in true }
        syncs.join()
        // The third part, and the rest at once.
        #expect(syncs.count.load(ordering: .relaxed) == 4)
        #expect(!spares.isReady)
    }

    @Test("where none is being made a commit makes one at once")
    func missing() throws {
        let syncs = Syncs()
        let spares = self.spares(syncs)
        _ = try spares.awaiting { () throws(IOFailure) in
            try spares.take(bytes: self.configuration.effectiveSegmentBytes) { _ in true }
        }
        #expect(syncs.count.load(ordering: .relaxed) == 1)
    }
}
