import Synchronization
import Testing

@testable import EventJournal

/// Syncs of a disk so far, and who does what at one of them.
private final class Syncs: Sendable {
    let count = Atomic<Int>(0)
    let spares = Mutex<SpareSegments?>(nil)
    private let taker = Mutex<BlockingThread?>(nil)

    private let taken = Mutex<Int?>(nil)

    /// As a commit that needs a segment now; returns when it waits.
    func take(_ bytes: Int, enough: Int) {
        guard let spares = self.spares.withLock({ $0 }) else { return }
        self.taker.withLock {
            $0 = BlockingThread {
                let took = try? spares.awaiting(enough) { () throws(IOFailure) in
                    try spares.take(bytes: bytes, enough: enough) { _ in true }
                }
                self.taken.withLock { $0 = took?.spare.bytes }
            }
        }
        while spares.awaited.load(ordering: .relaxed) == 0 {}
    }

    /// How large what was taken is.
    func join() -> Int? {
        self.taker.withLock { $0?.join() }
        return self.taken.withLock { $0 }
    }
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
        let spares = self.spares(syncs) { if $0 == 3 { syncs.take(bytes, enough: bytes) } }
        try spares.prepare { _ in true }
        #expect(syncs.join() == bytes)
        // The third part, and the rest at once.
        #expect(syncs.count.load(ordering: .relaxed) == 4)
        #expect(!spares.isReady)
    }

    @Test("a commit that waits gets what there is, once that is enough", arguments: [1 << 20, 3 << 19, 2 << 20])
    func smaller(enough: Int) throws {
        let syncs = Syncs()
        let bytes = self.configuration.effectiveSegmentBytes
        let spares = self.spares(syncs) { if $0 == 3 { syncs.take(bytes, enough: enough) } }
        try spares.prepare { _ in true }
        #expect(syncs.join() == max(enough, 3 << 19))
        #expect(syncs.count.load(ordering: .relaxed) == 4)
        // The next one is whole again.
        try spares.prepare { _ in true }
        #expect(try spares.take(bytes: bytes, enough: bytes) { _ in true }.spare.bytes == bytes)
    }

    @Test("at the end a spare is made without pauses, even when a commit was waiting before")
    func ending() throws {
        let syncs = Syncs()
        let spares = self.spares(syncs)
        spares.hurry()
        try spares.awaiting(1) { () throws(IOFailure) in }
        try spares.prepare { _ in true }
        #expect(syncs.count.load(ordering: .relaxed) == 1)
    }

    @Test("where none is being made a commit makes one at once")
    func missing() throws {
        let syncs = Syncs()
        let spares = self.spares(syncs)
        let took = try spares.awaiting(4 << 20) { () throws(IOFailure) in
            try spares.take(bytes: self.configuration.effectiveSegmentBytes, enough: 4 << 20) { _ in true }
        }
        #expect(took.spare.bytes == 4 << 20)
        #expect(syncs.count.load(ordering: .relaxed) == 1)
    }
}
