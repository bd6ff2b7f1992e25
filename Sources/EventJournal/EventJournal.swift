import Glibc
public import Logging
public import NIOCore

/// A durable, bounded log of opaque records on its way to one or more sinks.
///
/// It sees bytes and where in them the partition key lies, never an event. One thread writes, another one keeps house,
/// a third one syncs what `write` answered without a sync; event loops wait for none of them.
public final class EventJournal: Sendable {
    private let engine: JournalEngine
    private let lock: DirectoryLock?
    private let commits: CommitQueue
    private let house = Pause()
    private let syncs = Pause()
    private let threads: Locked<[BlockingThread]>
    /// Of loops with each other, in nanoseconds.
    private static let patience: UInt64 = 1_000_000

    /// Locks the directory, recovers what it holds and starts the writer.
    ///
    /// - Parameter sinks: who gets every event, each at its own position. A sink without a position gets all there is.
    /// - Throws: only when another process holds the journal, a newer program wrote it, or the directory cannot be used.
    ///   Damage and a full disk are no reasons.
    public static func open(
        _ configuration: JournalConfiguration,
        sinks: [String],
        logger: Logger
    ) throws(JournalOpenError) -> EventJournal {
        let directory = configuration.directory
        let files = DiskFileSystem()
        guard configuration.maxBytes >= 256 << 10 else {
            throw JournalOpenError(code: .unusable, description: "The journal's bound must be at least 256KiB.")
        }
        try Self.refuseNewerFormat(directory, files)
        let lock: DirectoryLock?
        do {
            try files.makeDirectory(directory)
            lock = try DirectoryLock(directory: directory)
        } catch {
            throw JournalOpenError(
                code: .unusable,
                description: "The journal directory \(directory) cannot be used: \(error)."
            )
        }
        guard let lock else {
            let sentence = "The journal \(directory) is in use by another process; stop it or name another directory."
            throw JournalOpenError(code: .locked, description: sentence)
        }
        try Self.refuseNewerFormat(directory, files)
        let engine = try JournalEngine(configuration, sinks: sinks, files: files, logger: logger)
        return try EventJournal(engine, lock)
    }

    private static func refuseNewerFormat(_ directory: String, _ files: DiskFileSystem) throws(JournalOpenError) {
        guard let version = JournalRecovery.newerVersion(in: directory, files) else { return }
        let sentence = """
            The journal \(directory) has format version \(version), this program knows \(JournalFormat.version); \
            start the newer program or name another directory.
            """
        throw JournalOpenError(code: .newerFormat, description: sentence)
    }

    init(_ engine: JournalEngine, _ lock: DirectoryLock?) throws(JournalOpenError) {
        self.engine = engine
        self.lock = lock
        self.commits = CommitQueue(longestPatience: engine.configuration.durability == .fsync ? Self.patience : 0)
        self.threads = Locked([])
        let (commits, house, syncs) = (self.commits, self.house, self.syncs)
        guard let writer = BlockingThread({ Self.write(engine, commits) }),
            let keeper = BlockingThread({ Self.keepHouse(engine, house) }),
            // A thread of its own: preparing a segment may take longer than the window.
            let syncer = BlockingThread({ Self.syncBehind(engine, syncs) })
        else {
            throw JournalOpenError(
                code: .unusable,
                description: "The system gives the journal no thread; raise the limit of threads."
            )
        }
        self.threads.withLock { $0 = [writer, keeper, syncer] }
    }

    /// The books of this instant; never waits for the disk.
    public var books: JournalBooks { self.engine.books }

    /// Why a record would be refused now; never waits for the disk.
    public var refusal: JournalRefusal? { self.engine.refusal }

    /// The way in for one event loop; to be made and used on it.
    ///
    /// - Parameter settled: called on the loop, once per batch, in the order of the batches.
    public func makeLane(
        on loop: any EventLoop,
        settled: @escaping (BatchID, BatchOutcome) -> Void
    ) -> JournalLane {
        JournalLane(on: loop, self.engine, self.commits, settled: settled)
    }

    /// The way out for one of the sinks named at ``open(_:sinks:logger:)``; nil for any other name.
    public func makeReader(sink: String) -> JournalReader? {
        let place = self.engine.withLedger { ledger -> (Int, UInt64)? in
            guard let index = ledger.sinks.firstIndex(where: { $0.name == sink }) else { return nil }
            return (index, ledger.sinks[index].position)
        }
        guard let (index, position) = place else { return nil }
        return JournalReader(self.engine, sink: sink, index: index, position: position)
    }

    /// Waits until everything handed over is committed, positions are saved and the end is marked.
    public func close() {
        let threads = self.threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        guard let writer = threads.first else { return }
        self.commits.close()
        writer.join()
        self.engine.spares.hurry()
        self.house.end()
        self.syncs.end()
        for thread in threads.dropFirst() { thread.join() }
        self.engine.finish()
    }

    private static func write(_ engine: JournalEngine, _ commits: CommitQueue) {
        var taken: [Submission] = []
        while commits.take(into: &taken) {
            let began = JournalClock.monotonicNanoseconds()
            let outcomes = engine.commit(taken.map(\.buffer))
            commits.committed(taken, in: JournalClock.monotonicNanoseconds() &- began)
            for (submission, outcome) in zip(taken, outcomes) {
                submission.loop.execute { submission.completed(outcome) }
            }
        }
    }

    private static func keepHouse(_ engine: JournalEngine, _ house: Pause) {
        let configuration = engine.configuration
        var cursorsSaved = JournalClock.monotonicNanoseconds()
        repeat {
            let now = JournalClock.monotonicNanoseconds()
            let isTime = now &- cursorsSaved >= UInt64(configuration.cursorInterval) &* 1_000_000
            if isTime { cursorsSaved = now }
            engine.keepHouse(saveCursors: isTime)
        } while house.wait(milliseconds: Self.pause(engine))
    }

    /// In milliseconds.
    private static func pause(_ engine: JournalEngine) -> Int {
        engine.refusal == nil ? min(50, engine.configuration.cursorInterval) : 100
    }

    /// Keeps what no sync covers within the window of `write`; for the other modes there is nothing to do.
    private static func syncBehind(_ engine: JournalEngine, _ syncs: Pause) {
        guard engine.configuration.durability == .write else { return }
        let window = engine.configuration.syncInterval
        var pause = 0
        repeat {
            let began = JournalClock.monotonicNanoseconds()
            engine.syncBehind()
            let took = Int(clamping: (JournalClock.monotonicNanoseconds() &- began) / 1_000_000)
            // What is written while a sync runs waits for the next one: two of them and the pause must fit.
            pause = max(1, min(window / 2, window * 4 / 5 - 2 * min(took, window)))
        } while syncs.wait(milliseconds: pause)
    }
}
