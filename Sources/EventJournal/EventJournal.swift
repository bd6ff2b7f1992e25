import Glibc
public import Logging
public import NIOCore

/// A durable, bounded log of opaque records on its way to one or more sinks.
///
/// It sees bytes and where in them the partition key lies, never an event. One thread writes, another one keeps house;
/// event loops wait for neither.
public final class EventJournal: Sendable {
    private let engine: JournalEngine
    private let lock: DirectoryLock?
    private let submissions = Mailbox<Submission>()
    private let house = Mailbox<Void>()
    private let threads: Locked<[BlockingThread]>

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
        self.threads = Locked([])
        let (submissions, house) = (self.submissions, self.house)
        guard let writer = BlockingThread({ Self.write(engine, submissions) }),
            let keeper = BlockingThread({ Self.keepHouse(engine, house) })
        else {
            throw JournalOpenError(
                code: .unusable,
                description: "The system gives the journal no thread; raise the limit of threads."
            )
        }
        self.threads.withLock { $0 = [writer, keeper] }
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
        JournalLane(on: loop, self.engine, self.submissions, settled: settled)
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
        guard threads.count == 2 else { return }
        self.submissions.close()
        threads[0].join()
        self.house.close()
        threads[1].join()
        self.engine.finish()
    }

    private static func write(_ engine: JournalEngine, _ submissions: Mailbox<Submission>) {
        var taken: [Submission] = []
        while submissions.take(into: &taken, within: nil) {
            let outcomes = engine.commit(taken.map(\.buffer))
            for (submission, outcome) in zip(taken, outcomes) {
                submission.loop.execute { submission.completed(outcome) }
            }
        }
    }

    private static func keepHouse(_ engine: JournalEngine, _ house: Mailbox<Void>) {
        let configuration = engine.configuration
        var rung: [Void] = []
        var cursorsSaved = JournalClock.monotonicNanoseconds()
        repeat {
            if configuration.durability == .write { engine.syncBehind() }
            let now = JournalClock.monotonicNanoseconds()
            let isTime = now &- cursorsSaved >= UInt64(configuration.cursorInterval) &* 1_000_000
            if isTime { cursorsSaved = now }
            engine.keepHouse(saveCursors: isTime)
        } while house.take(into: &rung, within: Self.pause(engine))
    }

    /// In milliseconds.
    private static func pause(_ engine: JournalEngine) -> Int {
        // Half of the window is for the sync itself.
        if engine.configuration.durability == .write { return max(1, engine.configuration.syncInterval / 2) }
        return engine.refusal == nil ? min(250, engine.configuration.cursorInterval) : 100
    }
}
