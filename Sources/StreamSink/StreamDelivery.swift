public import EventJournal
public import Logging
public import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Brings the journal's events to a stream outside: drives ``DeliveryMachine``.
///
/// A verticle on a thread of its own, where its stream lives too: a backlog is read from disk there, and nothing that this
/// sink waits for touches another one. Calls to the stream run side by side.
public actor StreamDelivery: Sink {
    private let limits: DeliveryLimits
    private let account: SinkAccount
    private let reader: JournalReader
    private let stream: any RecordStream
    private let quarantine: RefusedRecords
    private let logger: Logger
    private let group: MultiThreadedEventLoopGroup
    private nonisolated let loop: any EventLoop
    private nonisolated let isStopping = Atomic<Bool>(false)

    private var machine: DeliveryMachine
    private var pace = CatchUpPace()
    private var taken: UInt64 = 0
    private var quarantinedBefore: UInt64 = 0
    private var reportedAt: UInt64 = 0
    /// What the log said last of a stream that does not answer.
    private var saidUnavailable: Unavailability?
    private var sleeper: CheckedContinuation<Void, Never>?
    /// Something happened since the last rest began.
    private var wasRung = false

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.executor.asUnownedSerialExecutor() }

    /// - Parameters:
    ///   - name: as the journal knows the sink: `redis:KEY`, `kinesis:STREAM`.
    ///   - makeStream: gives the stream, on this event loop.
    /// - Returns: nil when the journal was opened without that name.
    public init?(
        _ limits: DeliveryLimits,
        policy: RetryPolicy = RetryPolicy(),
        name: String,
        from journal: EventJournal,
        quarantine: RefusedRecords,
        logger: Logger,
        makeStream: @Sendable (any EventLoop) -> any RecordStream
    ) {
        guard let account = SinkAccount(name, at: journal) else { return nil }
        self.limits = limits
        self.account = account
        self.reader = account.reader
        self.quarantine = quarantine
        self.logger = logger
        self.group = SinkThread.make()
        self.loop = self.group.any()
        self.stream = makeStream(self.loop)
        self.machine = DeliveryMachine(
            limits: limits,
            put: self.stream.limits,
            policy: policy,
            position: account.reader.position,
            seed: .random(in: 0 ... .max)
        )
    }

    public nonisolated var name: String { self.account.name }
    public nonisolated var books: SinkBooks { self.account.books }

    // Not on the sink's own loop, which it ends.
    public nonisolated func run() async throws {
        let isIdle = await withGracefulShutdownHandler {
            await self.deliver()
        } onGracefulShutdown: {
            self.isStopping.store(true, ordering: .relaxed)
            self.loop.execute { self.assumeIsolated { $0.ring() } }
        }
        // A call that does not end although its stream was stopped keeps its loop: the process is about to end anyway.
        if isIdle { try? await self.group.shutdownGracefully() }
    }

    /// - Returns: whether nothing runs on the loop any more.
    private func deliver() async -> Bool {
        await self.stream.start()
        var deadline = UInt64.max
        while true {
            var now = SinkClock.milliseconds()
            if self.isStopping.load(ordering: .relaxed) || Task.isCancelled, !self.machine.isDraining {
                self.machine.drain()
                deadline = now &+ UInt64(self.limits.drainTimeout)
            }
            if self.machine.isDraining {
                if self.isDone || now >= deadline { break }
            } else {
                await self.account.rest(self.pace.rest(at: .now(self.reader, taken: self.taken)), on: self.loop)
                now = SinkClock.milliseconds()
            }
            await self.perform(self.machine.next(at: now), before: deadline)
            self.acknowledge()
            self.report(at: now)
        }
        // A waiter that nobody wakes would keep this sink and the journal.
        self.reader.stopNotifying()
        await self.stream.stop()
        return await self.actionsEnd()
    }

    /// Everything is delivered; or the stream does not answer, and the journal keeps the rest for the next start.
    private var isDone: Bool {
        self.machine.breaker.state == .open || (self.machine.isIdle && self.reader.available == 0)
    }

    private func actionsEnd() async -> Bool {
        let end = SinkClock.milliseconds() &+ 1_000
        while self.machine.actionsInFlight > 0, SinkClock.milliseconds() < end {
            await self.rest(until: end, records: nil)
        }
        self.acknowledge()
        return self.machine.actionsInFlight == 0
    }

    private func perform(_ action: DeliveryMachine.Action, before deadline: UInt64) async {
        switch action {
        case .put(let batch): self.put(batch)
        case .take(let records, let bytes): self.take(records, bytes)
        case .keepAside(let refusals): self.keepAside(refusals)
        case .rest(let until, let records):
            // At least once a second, so that the age of what waits is told.
            let second = SinkClock.milliseconds() &+ 1_000
            await self.rest(until: min(until ?? second, second, deadline), records: records)
        }
    }

    // MARK: Calls

    private func put(_ batch: RecordBatch) {
        // Its work is done here and now, up to the wait for an answer: what is to be rested for is known then.
        Task.immediate {
            let outcome = await self.stream.put(batch)
            self.answered(batch.number, outcome)
        }
    }

    private func answered(_ call: UInt64, _ outcome: PutOutcome) {
        let tally = self.machine.answered(call, outcome, at: SinkClock.milliseconds())
        self.account.attempted(tally)
        if self.account.note(self.machine.breaker.state), self.machine.breaker.state == .closed {
            self.logger.notice("events are delivered again", metadata: ["sink": "\(self.name)"])
            self.saidUnavailable = nil
        }
        if let why = tally.unavailability { self.sayUnavailable(why) }
        self.acknowledge()
        self.ring()
    }

    /// Once for each reason of an outage, not at every attempt.
    private func sayUnavailable(_ why: Unavailability) {
        guard self.saidUnavailable != why, self.machine.breaker.state != .closed else { return }
        self.saidUnavailable = why
        self.logger.log(
            level: why.isConfigurationFault ? .error : .warning,
            "events cannot be delivered, trying again",
            metadata: ["sink": "\(self.name)", "cause": "\(why.reason)"]
        )
    }

    // MARK: The journal

    private func take(_ records: Int, _ bytes: Int) {
        guard let slice = self.reader.read(maxRecords: records, maxBytes: bytes) else {
            return self.machine.foundNothing(position: self.reader.position)
        }
        self.taken &+= UInt64(slice.count)
        self.machine.took(OutboundRecord.copy(slice) { self.stream.lane(of: $0) }, at: SinkClock.milliseconds())
    }

    private func acknowledge() {
        let low = self.machine.window.low
        let quarantined = self.machine.window.quarantinedBelow
        self.account.acknowledge(through: low, quarantined: quarantined &- self.quarantinedBefore)
        self.quarantinedBefore = quarantined
    }

    private func report(at now: UInt64) {
        guard now >= self.reportedAt &+ 250 else { return }
        self.reportedAt = now
        _ = self.account.note(self.machine.breaker.state)
        self.account.reportAge()
    }

    // MARK: Refused records

    private func keepAside(_ refusals: [DeliveryMachine.Refusal]) {
        let now = SinkClock.wallMilliseconds()
        let records = refusals.map { RefusedRecord($0, sink: self.name, milliseconds: now) }
        Task {
            do {
                try await NIOThreadPool.singleton.runIfActive { try self.quarantine.keep(records) }
                self.machine.keptAside()
                self.account.quarantined(records.count)
                self.logger.error(
                    "the sink refuses records for good; they are in the journal's quarantine",
                    metadata: [
                        "sink": "\(self.name)", "count": "\(records.count)", "reason": "\(refusals[0].reason)",
                    ]
                )
            } catch {
                self.machine.keepingFailed(at: SinkClock.milliseconds())
                self.logger.error(
                    "refused records not kept aside, trying again",
                    metadata: ["sink": "\(self.name)", "cause": "\(error)"]
                )
            }
            self.ring()
        }
    }

    // MARK: Rest

    /// Returns when something happened, or at the time.
    private func rest(until time: UInt64, records: Int?) async {
        let now = SinkClock.milliseconds()
        guard !self.wasRung, time > now else {
            self.wasRung = false
            return
        }
        let wait = TimeAmount.milliseconds(Int64(clamping: min(time - now, 60_000)))
        let timer = self.alarm(in: wait)
        await withCheckedContinuation { continuation in
            self.sleeper = continuation
            guard let records else { return }
            self.reader.notify(records: records) {
                self.loop.execute { self.assumeIsolated { $0.recordsArrived() } }
            }
        }
        timer.cancel()
        self.wasRung = false
    }

    private func alarm(in wait: TimeAmount) -> NIOCore.Scheduled<Void> {
        self.loop.scheduleTask(in: wait) { self.assumeIsolated { $0.ring() } }
    }

    private func recordsArrived() {
        self.machine.recordsArrived()
        self.ring()
    }

    private func ring() {
        self.wasRung = true
        self.sleeper?.resume()
        self.sleeper = nil
    }
}

extension OutboundRecord {
    /// The records of a slice in memory of their own, shared by all of them.
    static func copy(_ slice: JournalSlice, lane: (ByteBuffer) -> Int) -> [OutboundRecord] {
        var bytes = ByteBufferAllocator().buffer(capacity: slice.bytes)
        var places: [(sequence: UInt64, length: Int, key: Range<Int>)] = []
        places.reserveCapacity(slice.count)
        slice.visit { record in
            bytes.writeBytes(record.bytes)
            places.append((record.sequence, record.bytes.count, record.keyRange))
        }
        return places.compactMap { place in
            guard let own = bytes.readSlice(length: place.length) else { return nil }
            let key = own.getSlice(at: own.readerIndex + place.key.lowerBound, length: place.key.count) ?? ByteBuffer()
            return OutboundRecord(sequence: place.sequence, bytes: own, keyRange: place.key, lane: lane(key))
        }
    }
}

extension RefusedRecord {
    fileprivate init(_ refusal: DeliveryMachine.Refusal, sink: String, milliseconds: UInt64) {
        self.init(
            sequence: refusal.record.sequence,
            bytes: Array(refusal.record.bytes.readableBytesView),
            key: refusal.record.keyRange,
            sink: sink,
            reason: refusal.reason,
            milliseconds: milliseconds
        )
    }
}
