public import EventJournal
import Glibc
public import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
public import ServiceLifecycle
import Synchronization

/// Brings the journal's events to files: a verticle on a thread of its own, because files block.
///
/// `run` returns after a graceful shutdown, when everything that the journal had is in files, or after
/// ``FileSinkConfiguration/drainTimeout``. A disk that fails is tried again, at most every second.
public actor FileSink: Service {
    private let configuration: FileSinkConfiguration
    private let journal: EventJournal
    private let reader: JournalReader
    private let logger: Logger
    private let metrics: SinkMetrics
    private let group: MultiThreadedEventLoopGroup
    private nonisolated let loop: any EventLoop
    private nonisolated let snapshot = NIOLockedValueBox(SinkBooks())
    private nonisolated let isStopping = Atomic<Bool>(false)

    private var batcher: Batcher
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
        guard let reader = journal.makeReader(sink: name) else { return nil }
        self.configuration = configuration
        self.journal = journal
        self.reader = reader
        self.logger = logger
        self.metrics = SinkMetrics(sink: name)
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.loop = self.group.any()
        self.batcher = Batcher(configuration.batch)
    }

    public nonisolated var name: String { self.reader.sink }

    /// What the sink did so far; never waits.
    public nonisolated var books: SinkBooks { self.snapshot.withLockedValue { $0 } }

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
        let deadline = MonotonicClock.milliseconds() &+ UInt64(self.configuration.drainTimeout)
        while self.reader.available > 0 || self.hasWork, MonotonicClock.milliseconds() < deadline {
            await self.advance()
        }
        self.writer?.finish()
    }

    private var hasWork: Bool { self.stagedRecords > 0 || self.shownRecords > 0 }

    /// One step: read, or send what is due.
    private func advance() async {
        let now = MonotonicClock.milliseconds()
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
        self.reportAge()
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
        self.stagedEnd = slice.endSequence
        self.batcher.took(records: slice.count, bytes: slice.bytes, at: MonotonicClock.milliseconds())
    }

    private func send() async {
        // A step costs a sync, so under load it takes all that waits, up to 8 MiB.
        while self.staged.count < 8 << 20,
            let slice = self.reader.read(maxRecords: self.configuration.batch.records, maxBytes: 1 << 20)
        {
            self.stage(slice)
        }
        guard self.stagedRecords > 0 else { return self.batcher.sent() }
        do {
            try self.show()
            self.retryPause = 50
            self.note(isAvailable: true)
        } catch {
            await self.pause(after: error)
        }
    }

    private func show() throws(SinkFailure) {
        if self.writer == nil {
            self.writer = try EventFileWriter(
                directory: self.configuration.directory,
                rotateBytes: self.configuration.rotateBytes,
                rotateSeconds: self.configuration.rotateSeconds
            )
        }
        try self.writer?.show(self.staged, now: MonotonicClock.wallMilliseconds())
        self.shownEnd = self.stagedEnd
        self.shownRecords += self.stagedRecords
        self.stagedRecords = 0
        if self.staged.capacity > 1 << 20 { self.staged = [] } else { self.staged.removeAll(keepingCapacity: true) }
        self.batcher.sent()
    }

    private func acknowledgeWhenDue() {
        let now = MonotonicClock.milliseconds()
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
        self.reader.acknowledge(through: self.shownEnd)
        let records = self.shownRecords
        self.shownRecords = 0
        self.metrics.delivered(records)
        self.snapshot.withLockedValue { $0.delivered &+= UInt64(records) }
    }

    private func pause(after error: SinkFailure) async {
        self.metrics.failed(self.stagedRecords)
        self.snapshot.withLockedValue { $0.failed &+= UInt64(self.stagedRecords) }
        if self.note(isAvailable: false) {
            self.logger.error(
                "events cannot be written to files",
                metadata: ["sink": "\(self.name)", "cause": "\(error)"]
            )
        }
        try? await self.loop.scheduleTask(in: .milliseconds(self.retryPause)) {}.futureResult.get()
        self.retryPause = min(self.retryPause * 2, 1000)
    }

    /// - Returns: whether that is news.
    @discardableResult
    private func note(isAvailable: Bool) -> Bool {
        let isNews = self.snapshot.withLockedValue { books in
            defer { books.isAvailable = isAvailable }
            return books.isAvailable != isAvailable
        }
        if isNews { self.metrics.breaker(isOpen: !isAvailable) }
        return isNews
    }

    private func reportAge() {
        let oldest = self.journal.books.sinks.first { $0.name == self.name }?.oldestPendingMilliseconds
        let now = MonotonicClock.wallMilliseconds()
        self.metrics.oldest(age: oldest.map { now > $0 ? Double(now - $0) / 1000 : 0 } ?? 0)
    }
}

/// The clocks of a sink, in milliseconds.
enum MonotonicClock {
    static func milliseconds() -> UInt64 { Self.read(CLOCK_MONOTONIC) }
    static func wallMilliseconds() -> UInt64 { Self.read(CLOCK_REALTIME) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(clamping: time.tv_sec) &* 1000 &+ UInt64(clamping: time.tv_nsec / 1_000_000)
    }
}
