import NIOCore

/// Names a batch of a lane, in the order of its batches.
public struct BatchID: Hashable, Sendable, Comparable {
    public let number: UInt64

    public static func < (left: BatchID, right: BatchID) -> Bool { left.number < right.number }
}

/// What became of a batch.
public enum BatchOutcome: Sendable, Equatable {
    /// The answers may go: it is as durable as the configuration says, or, under
    /// ``JournalConfiguration/FullPolicy/answerUnrecorded``, counted as dropped.
    case durable
    /// None of it counts as accepted.
    case failed(JournalRefusal)
}

/// What became of a record.
public enum AppendResult: Sendable, Equatable {
    /// It waits with this batch.
    case queued(BatchID)
    /// The journal is full and the policy is to answer nevertheless: counted, not recorded.
    case unrecorded
    case refused(JournalRefusal)
}

/// A record that is being written; let go of, it was never there.
public struct OpenRecord: ~Copyable {
    public let place: UnsafeMutableRawBufferPointer
    fileprivate let buffer: LaneBuffer
}

/// Whether a record may be written.
public enum RecordPlace: ~Copyable {
    case open(OpenRecord)
    /// There is no room, or no need.
    case none(AppendResult)
}

/// What was written to the place of a record.
public struct WrittenRecord: Sendable {
    /// At most 65,535; 0 takes the record back.
    public var length: Int
    /// Where in it the partition key lies; empty without one.
    public var key: Range<Int>

    @inlinable
    public init(length: Int, key: Range<Int> = 0..<0) {
        self.length = length
        self.key = key
    }
}

/// One event loop's way into the journal: gathers the records of a tick, hands them over as one batch, one at a time.
///
/// Confined to its loop. While a batch is being committed the next one gathers, so the batch grows with the load and no
/// timer is needed.
public final class JournalLane {
    private let loop: any EventLoop
    private let engine: JournalEngine
    private let commits: CommitQueue
    private let settled: (BatchID, BatchOutcome) -> Void
    private let durability: JournalConfiguration.Durability
    private let answersUnrecorded: Bool
    private let timeoutNanoseconds: UInt64

    private var gathering: LaneBuffer
    private var gatheringBatch = BatchID(number: 1)
    private var spare: LaneBuffer?
    private var inFlight: Flight?
    private var isArmed = false
    /// In `write` mode: the sync behind the answers takes longer than a commit may, so its window would not hold.
    private var syncHangs = false
    private var tickEnd: (@Sendable () -> Void)?

    private struct Flight {
        var batch: BatchID
        var since: UInt64
        /// Its batch was settled as unavailable because the disk hangs.
        var isGivenUp = false
    }

    init(
        on loop: any EventLoop,
        _ engine: JournalEngine,
        _ commits: CommitQueue,
        settled: @escaping (BatchID, BatchOutcome) -> Void
    ) {
        let configuration = engine.configuration
        self.loop = loop
        self.engine = engine
        self.commits = commits
        self.settled = settled
        self.durability = configuration.durability
        self.answersUnrecorded = configuration.whenFull == .answerUnrecorded
        self.timeoutNanoseconds = UInt64(max(1, configuration.commitTimeout)) * 1_000_000
        self.gathering = Self.makeBuffer(configuration)
        self.spare = Self.makeBuffer(configuration)
        let weak = WeakLane(self)
        let bound = NIOLoopBound(weak, eventLoop: loop)
        self.tickEnd = { bound.value.lane?.endTick() }
        let interval = TimeAmount.milliseconds(Int64(max(10, configuration.commitTimeout / 8)))
        loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { task in
            guard let lane = bound.value.lane else { return task.cancel() }
            lane.watch()
        }
    }

    private static func makeBuffer(_ configuration: JournalConfiguration) -> LaneBuffer {
        LaneBuffer(
            maxCapacity: max(configuration.queueBytes, 64 << 10),
            maxFrameBytes: configuration.effectiveBatchBytes
        )
    }

    /// Why a record would be refused now: a cheap look before work is done. Nil under a policy that answers nevertheless.
    public var refusal: JournalRefusal? {
        guard let refusal = self.currentRefusal else { return nil }
        return refusal == .full && self.answersUnrecorded ? nil : refusal
    }

    /// Room for one record of at most `capacity` bytes: to be filled and kept before the lane is asked for another.
    public func open(upTo capacity: Int) -> RecordPlace {
        if let refusal = self.currentRefusal { return .none(self.refuse(refusal)) }
        let gathering = self.gathering
        guard let place = gathering.place(upTo: capacity) else { return .none(.refused(.overloaded)) }
        return .open(OpenRecord(place: place, buffer: gathering))
    }

    /// Takes what was written to a record's place.
    public func keep(_ record: consuming OpenRecord, _ written: WrittenRecord) -> AppendResult {
        guard written.length > 0, written.length <= min(record.place.count, JournalFormat.recordBytes),
            written.key.lowerBound >= 0, written.key.upperBound <= written.length, record.buffer === self.gathering
        else { return .refused(.unavailable) }
        record.buffer.keep(length: written.length, key: written.key)
        // In `memory` no answer waits for a batch that is being written.
        if !self.isArmed, self.inFlight == nil || self.durability == .memory { self.arm() }
        return .queued(self.gatheringBatch)
    }

    /// Takes one record: `write` fills the place it gets, at most `capacity` bytes long, and says what it wrote.
    public func append(
        upTo capacity: Int,
        _ write: (UnsafeMutableRawBufferPointer) -> WrittenRecord
    ) -> AppendResult {
        switch self.open(upTo: capacity) {
        case .open(let record):
            let written = write(record.place)
            return self.keep(record, written)
        case .none(let result):
            return result
        }
    }

    private var currentRefusal: JournalRefusal? {
        if let refusal = self.engine.refusal { return refusal }
        return self.syncHangs || self.inFlight?.isGivenUp == true ? .unavailable : nil
    }

    private func refuse(_ refusal: JournalRefusal) -> AppendResult {
        guard refusal == .full, self.answersUnrecorded else { return .refused(refusal) }
        self.engine.withLedger { $0.leftOut(1) }
        return .unrecorded
    }

    private func arm() {
        self.isArmed = true
        guard let tickEnd = self.tickEnd else { return }
        self.loop.execute(tickEnd)
    }

    private func endTick() {
        self.isArmed = false
        if self.durability == .memory { return self.endTickInMemory() }
        if self.inFlight == nil { self.submit() }
    }

    /// Answers do not wait; what cannot be handed over yet goes on gathering.
    private func endTickInMemory() {
        guard !self.gathering.isEmpty else { return }
        let batch = self.gatheringBatch
        self.gatheringBatch = BatchID(number: batch.number + 1)
        if self.inFlight == nil { self.hand(self.takeGathered(), as: batch) }
        self.settled(batch, .durable)
    }

    private func submit() {
        guard !self.gathering.isEmpty else { return }
        let batch = self.gatheringBatch
        self.gatheringBatch = BatchID(number: batch.number + 1)
        let buffer = self.takeGathered()
        if self.durability == .write, let outcome = self.engine.commitAtOnce(buffer) {
            self.takeBack(buffer)
            self.settled(batch, outcome)
        } else {
            self.hand(buffer, as: batch)
        }
    }

    private func hand(_ buffer: LaneBuffer, as batch: BatchID) {
        self.inFlight = Flight(batch: batch, since: JournalClock.monotonicNanoseconds())
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        let submission = Submission(buffer: buffer, loop: self.loop) { outcome in
            bound.value.committed(buffer, outcome)
        }
        if !self.commits.post(submission) { self.committed(buffer, .failed(.unavailable)) }
    }

    /// The answers of this batch go out, and the next one is handed over at the end of the tick in which the loop has looked
    /// once at what came meanwhile: whoever asks again as soon as he is answered shares the next sync with those who waited.
    private func committed(_ buffer: LaneBuffer, _ outcome: BatchOutcome) {
        guard let flight = self.inFlight else { return }
        self.inFlight = nil
        self.takeBack(buffer)
        if self.durability != .memory, !flight.isGivenUp { self.settled(flight.batch, outcome) }
        if !self.gathering.isEmpty, !self.isArmed { self.arm() }
    }

    /// A disk that hangs keeps nobody waiting longer than the commit's timeout.
    private func watch() {
        self.syncHangs = self.durability == .write && self.engine.syncAge > self.timeoutNanoseconds
        let now = JournalClock.monotonicNanoseconds()
        guard let flight = self.inFlight, now > flight.since, now - flight.since > self.timeoutNanoseconds else {
            return
        }
        guard self.durability != .memory else { return }
        if !flight.isGivenUp {
            self.inFlight?.isGivenUp = true
            self.settled(flight.batch, .failed(.unavailable))
        }
        guard !self.gathering.isEmpty else { return }
        let batch = self.gatheringBatch
        self.gatheringBatch = BatchID(number: batch.number + 1)
        self.gathering.clear()
        self.settled(batch, .failed(.unavailable))
    }

    private func takeGathered() -> LaneBuffer {
        let full = self.gathering
        full.seal()
        self.gathering = self.spare.take() ?? Self.makeBuffer(self.engine.configuration)
        return full
    }

    private func takeBack(_ buffer: LaneBuffer) {
        buffer.clear()
        self.spare = buffer
    }
}

@available(*, unavailable)
extension JournalLane: Sendable {}

/// A timer must not keep a lane alive.
private final class WeakLane {
    weak var lane: JournalLane?
    init(_ lane: JournalLane) { self.lane = lane }
}
