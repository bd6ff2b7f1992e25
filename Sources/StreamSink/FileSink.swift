public import EventJournal
import Glibc
public import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Brings the journal's events to files: a verticle on a thread of its own, because files block.
///
/// `run` returns after a graceful shutdown, when everything that the journal had is in files, or after
/// ``FileSinkConfiguration/drainTimeout``. A disk that fails is tried again, at most every second.
public actor FileSink: Sink {
    private let configuration: FileSinkConfiguration
    private let account: SinkAccount
    private let reader: JournalReader
    private let logger: Logger
    private let group: MultiThreadedEventLoopGroup
    private nonisolated let loop: any EventLoop
    private nonisolated let isStopping = Atomic<Bool>(false)

    private var batcher: Batcher
    private var pace = CatchUpPace()
    private var taken: UInt64 = 0
    private var writer: EventFileWriter?
    /// Framed events that are not visible yet, and which they are.
    private var staged: [UInt8] = []
    private var stagedRecords = 0
    private var stagedEnd: UInt64 = 0
    /// Visible, not yet acknowledged.
    private var shownEnd: UInt64 = 0
    private var shownRecords = 0
    private var acknowledgedAt: UInt64 = 0
    private var retryPause: Int64 = 50

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.executor.asUnownedSerialExecutor() }

    /// - Parameter name: as the journal knows the sink: `file:DIR`.
    /// - Returns: nil when the journal was opened without that name.
    public init?(_ configuration: FileSinkConfiguration, name: String, from journal: EventJournal, logger: Logger) {
        guard let account = SinkAccount(name, at: journal) else { return nil }
        self.configuration = configuration
        self.account = account
        self.reader = account.reader
        self.logger = logger
        self.group = SinkThread.make()
        self.loop = self.group.any()
        self.batcher = Batcher(configuration.batch)
    }

    public nonisolated var name: String { self.account.name }
    public nonisolated var books: SinkBooks { self.account.books }

    // Not on the sink's own loop, which it ends.
    public nonisolated func run() async throws {
        await withGracefulShutdownHandler {
            await self.deliver()
        } onGracefulShutdown: {
            self.isStopping.store(true, ordering: .relaxed)
            self.reader.stopNotifying()
        }
        try? await self.group.shutdownGracefully()
    }

    private func deliver() async {
        while !self.isStopping.load(ordering: .relaxed), !Task.isCancelled {
            await self.advance()
        }
        let deadline = SinkClock.milliseconds() &+ UInt64(self.configuration.drainTimeout)
        while self.reader.available > 0 || self.hasWork, SinkClock.milliseconds() < deadline {
            await self.advance()
        }
        self.writer?.finish()
    }

    private var hasWork: Bool { self.stagedRecords > 0 || self.shownRecords > 0 }

    /// One step: read, or send what is due.
    private func advance() async {
        await self.giveWay()
        let now = SinkClock.milliseconds()
        switch self.batcher.action(at: now) {
        case .take(let records, let bytes, let until):
            let wait = self.isStopping.load(ordering: .relaxed) ? 0 : self.untilAcknowledged(until, now)
            let slice = await self.reader.next(
                maxRecords: records,
                maxBytes: bytes,
                maxWait: .milliseconds(Int64(clamping: wait)),
                on: self.loop
            )
            if let slice { self.stage(slice) }
            if self.isStopping.load(ordering: .relaxed), slice == nil { await self.send() }
        case .send:
            await self.send()
        }
        self.acknowledgeWhenDue()
        self.account.reportAge()
    }

    /// In milliseconds: the wait for records must not hold back an acknowledgement.
    private func untilAcknowledged(_ until: UInt64, _ now: UInt64) -> UInt64 {
        let wait = until > now ? until - now : 0
        guard self.shownRecords > 0 else { return wait }
        let due = self.acknowledgedAt &+ UInt64(self.configuration.acknowledgeInterval)
        return min(wait, due > now ? due - now : 0)
    }

    private func stage(_ slice: JournalSlice) {
        slice.visit { EventFraming.append($0.bytes, to: &self.staged) }
        self.stagedRecords += slice.count
        self.taken &+= UInt64(slice.count)
        self.stagedEnd = slice.endSequence
        self.batcher.took(records: slice.count, bytes: slice.bytes, at: SinkClock.milliseconds())
    }

    private func send() async {
        // A step costs a sync, so under load it takes all that waits, up to 8 MiB; a millisecond's work where answers wait for it.
        while self.staged.count < (self.pace.gaveWay ? 1 << 20 : 8 << 20),
            let slice = self.reader.read(maxRecords: self.configuration.batch.records, maxBytes: 1 << 20)
        {
            self.stage(slice)
            await self.giveWay()
        }
        guard self.stagedRecords > 0 else { return self.batcher.sent() }
        do {
            try self.show()
            self.retryPause = 50
            _ = self.account.note(.closed)
        } catch {
            await self.pause(after: error)
        }
    }

    /// Rests where answers would wait for this thread.
    private func giveWay() async {
        let isEnding = self.isStopping.load(ordering: .relaxed) || Task.isCancelled
        let rest = isEnding ? self.pace.end() : self.pace.rest(at: .now(self.reader, taken: self.taken))
        await self.account.rest(rest, on: self.loop)
    }

    private func show() throws(SinkFailure) {
        if self.writer == nil {
            self.writer = try EventFileWriter(
                directory: self.configuration.directory,
                rotateBytes: self.configuration.rotateBytes,
                rotateSeconds: self.configuration.rotateSeconds
            )
        }
        try self.writer?.show(self.staged, now: SinkClock.wallMilliseconds())
        self.shownEnd = self.stagedEnd
        self.shownRecords += self.stagedRecords
        self.stagedRecords = 0
        if self.staged.capacity > 1 << 20 { self.staged = [] } else { self.staged.removeAll(keepingCapacity: true) }
        self.batcher.sent()
    }

    private func acknowledgeWhenDue() {
        let now = SinkClock.milliseconds()
        guard self.shownRecords > 0 else { return }
        let isDue = now >= self.acknowledgedAt &+ UInt64(self.configuration.acknowledgeInterval)
        guard isDue || self.isStopping.load(ordering: .relaxed) else { return }
        self.acknowledgedAt = now
        do {
            try self.writer?.sync()
        } catch {
            // The names may not be durable: they stay unacknowledged until a sync succeeds.
            return self.logger.error("sink directory not synced", metadata: ["cause": "\(error)"])
        }
        self.account.acknowledge(through: self.shownEnd)
        self.account.attempted(AttemptTally(delivered: self.shownRecords))
        self.shownRecords = 0
    }

    private func pause(after error: SinkFailure) async {
        let why = Unavailability("\(error)")
        self.account.attempted(AttemptTally(failed: self.stagedRecords, unavailability: why))
        if self.account.note(.open) {
            self.logger.error(
                "events cannot be written to files",
                metadata: ["sink": "\(self.name)", "cause": "\(error)"]
            )
        }
        try? await self.loop.scheduleTask(in: .milliseconds(self.retryPause)) {}.futureResult.get()
        self.retryPause = min(self.retryPause * 2, 1000)
    }
}
