import NIOCore

/// Brings records from the journal to a stream: all decisions, no I/O and no clock. Times in milliseconds of a clock that
/// never jumps.
///
///     take ──► gathered ──► in flight ──► delivered ─────────────────────────► acknowledged up to the
///               ▲  (batch)      │ ├── throttled, failed ──► to be sent again      oldest that is not done
///               │               │ ├── refused ──► to be kept aside ──► quarantined ──►
///               └── lane open ──┘ └── call unanswered: all of it to be sent again
///                                     call refused: halved, until the record that is to blame is alone
///
/// A record that was delivered is never sent again by it. What it holds is bounded by ``DeliveryLimits``. Records to be sent
/// again go ahead of fresh ones and share batches with them.
struct DeliveryMachine: Sendable {
    enum Action: Sendable, Equatable {
        /// Begin a call and say what became of it: ``answered(_:_:at:)``.
        case put(RecordBatch)
        /// Read at most so much, without waiting: ``took(_:at:)`` or ``foundNothing(position:)``.
        case take(records: Int, bytes: Int)
        /// Keep them aside and say so: ``keptAside()`` or ``keepingFailed(at:)``.
        case keepAside([Refusal])
        /// Nothing to do before this time, nor before one of the events; with `records`, call ``recordsArrived()`` when so
        /// many can be read.
        case rest(until: UInt64?, records: Int?)
    }

    struct Refusal: Sendable, Equatable {
        var record: OutboundRecord
        var reason: String
    }

    private let limits: DeliveryLimits
    private let put: PutLimits
    private let batch: BatchLimits
    private let policy: RetryPolicy

    private var jitter: JitterGenerator
    private var batcher: Batcher
    private(set) var breaker: Breaker
    private var budget: RetryBudget
    private(set) var window: SequenceWindow
    private var retries = RetryQueue()
    /// Taken, in order, not sent yet.
    private var fresh: [OutboundRecord] = []
    /// Parts of a refused call; each is a call of its own.
    private var suspects: [[OutboundRecord]] = []
    private var inFlight: [UInt64: [OutboundRecord]] = [:]
    private var refusals: [Refusal] = []
    /// Being kept aside now.
    private var keeping: [Refusal] = []
    private var keepAgainAt: UInt64 = 0
    private var calls: UInt64 = 0
    /// The source may have more.
    private var mayHaveMore = true
    private(set) var isDraining = false
    /// Held in memory, wherever; of bytes, less than one record more than the bound.
    private(set) var outstandingRecords = 0
    private(set) var outstandingBytes = 0

    /// - Parameters:
    ///   - position: the sequence of the first record to come.
    ///   - seed: of the jitter.
    init(limits: DeliveryLimits, put: PutLimits, policy: RetryPolicy, position: UInt64, seed: UInt64) {
        self.limits = limits
        self.put = put
        self.batch = limits.batch(within: put)
        self.policy = policy
        self.jitter = JitterGenerator(seed: seed)
        self.batcher = Batcher(self.batch)
        self.breaker = Breaker(policy)
        self.budget = RetryBudget(policy)
        self.window = SequenceWindow(from: position)
    }

    /// Nothing is held: all that was taken is delivered or kept aside.
    var isIdle: Bool { self.outstandingRecords == 0 }
    /// Calls and attempts to keep records aside whose end was not told yet.
    var actionsInFlight: Int { self.inFlight.count + (self.keeping.isEmpty ? 0 : 1) }

    // MARK: What to do

    mutating func next(at now: UInt64) -> Action {
        if let aside = self.nextToKeepAside(at: now) { return aside }
        let keepTime = self.refusals.isEmpty || !self.keeping.isEmpty ? nil : self.keepAgainAt
        let mostInFlight = self.breaker.isInDoubt ? 1 : max(1, self.limits.batchesInFlight)
        guard self.inFlight.count < mostInFlight, self.breaker.state != .halfOpen else {
            return .rest(until: keepTime, records: nil)
        }
        guard self.breaker.allowsCall(at: now) else {
            return .rest(until: Self.earlier(self.breaker.pausedUntil, keepTime), records: nil)
        }
        self.budget.fill(at: now)
        if !self.suspects.isEmpty { return self.begin(self.suspects.removeFirst(), at: now) }
        return self.gather(at: now, keepTime)
    }

    private mutating func gather(at now: UInt64, _ keepTime: UInt64?) -> Action {
        let mustGo = self.retries.isReady(at: now, budget: self.budget.tokens)
        guard case .take(let records, let bytes, let until) = self.batcher.action(at: now) else {
            return self.formBatch(at: now)
        }
        let roomRecords = min(
            self.limits.outstandingRecords - self.outstandingRecords,
            self.limits.windowRecords - self.window.count
        )
        let roomBytes = self.limits.outstandingBytes - self.outstandingBytes
        let hasRoom = roomRecords > 0 && roomBytes > 0
        // What is to be sent again takes along what there is.
        if hasRoom, self.mayHaveMore {
            return .take(records: min(records, roomRecords), bytes: min(bytes, roomBytes))
        }
        if mustGo || (!self.fresh.isEmpty && (self.isDraining || !hasRoom)) { return self.formBatch(at: now) }
        var wait = Self.earlier(keepTime, self.retryTime(at: now))
        if !self.fresh.isEmpty { wait = Self.earlier(wait, until) }
        let wanted = self.fresh.isEmpty ? 1 : min(records, roomRecords)
        return .rest(until: wait, records: hasRoom ? wanted : nil)
    }

    /// When the next record to be sent again may go.
    private func retryTime(at now: UInt64) -> UInt64? {
        guard let time = self.retries.nextTime else { return nil }
        // Its time has come, so it lacks a token.
        return time > now ? time : now &+ self.budget.nextToken
    }

    private mutating func nextToKeepAside(at now: UInt64) -> Action? {
        guard !self.refusals.isEmpty, self.keeping.isEmpty, now >= self.keepAgainAt else { return nil }
        self.keeping = self.refusals
        self.refusals = []
        return .keepAside(self.keeping)
    }

    private static func earlier(_ one: UInt64?, _ other: UInt64?) -> UInt64? {
        guard let one, let other else { return one ?? other }
        return min(one, other)
    }

    // MARK: Batches

    /// What is to be sent again, then what is fresh, as far as one call takes it.
    private mutating func formBatch(at now: UInt64) -> Action {
        var records: [OutboundRecord] = []
        var bytes = 0
        let (most, mostBytes) = (self.batch.records, self.batch.bytes)
        func fits(_ record: OutboundRecord) -> Bool {
            records.count < most && (records.isEmpty || bytes + record.cost <= mostBytes)
        }
        let spent = self.retries.drain(at: now, budget: self.budget.tokens) { record in
            guard fits(record) else { return false }
            records.append(record)
            bytes += record.cost
            return true
        }
        self.budget.spent(spent)
        var used = 0
        while used < self.fresh.count, fits(self.fresh[used]) {
            records.append(self.fresh[used])
            bytes += self.fresh[used].cost
            used += 1
        }
        self.fresh.removeFirst(used)
        self.batcher.sent()
        if !self.fresh.isEmpty { self.noteFresh(self.fresh, at: now) }
        return self.begin(records, at: now)
    }

    private mutating func begin(_ records: [OutboundRecord], at now: UInt64) -> Action {
        self.calls += 1
        self.inFlight[self.calls] = records
        self.breaker.began(self.calls, at: now)
        return .put(RecordBatch(number: self.calls, records: records))
    }

    // MARK: Records come

    mutating func took(_ records: [OutboundRecord], at now: UInt64) {
        var open: [OutboundRecord] = []
        for record in records {
            self.window.opened(record.sequence)
            self.outstandingRecords += 1
            self.outstandingBytes += record.bytes.readableBytes
            if record.cost > self.put.recordBytes {
                let reason = "larger than the stream takes: \(record.cost) of \(self.put.recordBytes) bytes"
                self.refusals.append(Refusal(record: record, reason: reason))
            } else if self.retries.isHeld(record.lane, at: now) {
                self.retries.append([record], lane: record.lane, readyAt: now, costsBudget: false)
            } else {
                open.append(record)
            }
        }
        self.fresh += open
        self.noteFresh(open, at: now)
    }

    private mutating func noteFresh(_ records: [OutboundRecord], at now: UInt64) {
        guard !records.isEmpty else { return }
        self.batcher.took(records: records.count, bytes: records.reduce(0) { $0 + $1.cost }, at: now)
    }

    /// - Parameter position: the sequence of the next record that will ever come.
    mutating func foundNothing(position: UInt64) {
        self.mayHaveMore = false
        // What lies between the last record and it is lost, so nobody waits for it.
        self.window.skipped(to: position)
    }

    mutating func recordsArrived() { self.mayHaveMore = true }

    /// From now on nothing waits for company.
    mutating func drain() {
        self.isDraining = true
        self.mayHaveMore = true
    }

    // MARK: Answers

    /// A call ended.
    ///
    /// - Returns: what it came to; nothing for a call that nobody knows.
    mutating func answered(_ call: UInt64, _ outcome: PutOutcome, at now: UInt64) -> AttemptTally {
        guard let records = self.inFlight.removeValue(forKey: call) else { return AttemptTally() }
        switch outcome {
        case .answered(let outcomes) where outcomes.count == records.count:
            self.breaker.answered(call)
            return self.settle(records, outcomes, at: now)
        case .answered(let outcomes):
            let reason = "an answer for \(outcomes.count) records where \(records.count) were sent"
            return self.sendAgain(records, call, Unavailability(reason), at: now)
        case .unavailable(let why):
            return self.sendAgain(records, call, why, at: now)
        case .refused(let reason):
            self.breaker.answered(call)
            return self.halve(records, reason)
        }
    }

    private mutating func settle(
        _ records: [OutboundRecord],
        _ outcomes: [RecordOutcome],
        at now: UInt64
    ) -> AttemptTally {
        var tally = AttemptTally()
        var throttled: [Int: [OutboundRecord]] = [:]
        var failed: [Int: [OutboundRecord]] = [:]
        for (record, outcome) in zip(records, outcomes) {
            switch outcome {
            case .delivered:
                tally.delivered += 1
                self.retries.tookRecords(record.lane, at: now)
                self.window.delivered(record.sequence)
                self.release(record)
            case .throttled:
                tally.throttled += 1
                throttled[record.lane, default: []].append(Self.failedOnce(record))
            case .failed:
                tally.failed += 1
                failed[record.lane, default: []].append(Self.failedOnce(record))
            case .refused(let reason):
                tally.refused += 1
                self.refusals.append(Refusal(record: record, reason: reason))
            }
        }
        self.budget.earned(tally.delivered)
        for (lane, records) in throttled.sorted(by: { $0.key < $1.key }) { self.holdUp(lane, records, at: now) }
        for (lane, records) in failed.sorted(by: { $0.key < $1.key }) {
            let failures = records.map(\.failures).max() ?? 1
            let pause = self.jitter.pause(upTo: self.policy.ceiling(failures: failures))
            self.retries.append(records, lane: lane, readyAt: now &+ pause, costsBudget: true)
        }
        return tally
    }

    /// The lane backs off alone: what failed, what is gathered for it, and what will be taken for it.
    private mutating func holdUp(_ lane: Int, _ records: [OutboundRecord], at now: UInt64) {
        let failures = self.retries.failures(of: lane) + 1
        let until = now &+ self.jitter.pause(upTo: self.policy.ceiling(failures: failures))
        self.retries.append(records, lane: lane, readyAt: now, costsBudget: true)
        self.retries.hold(lane, until: until, failures: failures)
        let waiting = self.fresh.filter { $0.lane == lane }
        guard !waiting.isEmpty else { return }
        self.fresh.removeAll { $0.lane == lane }
        self.retries.append(waiting, lane: lane, readyAt: now, costsBudget: false)
        self.batcher.sent()
        self.noteFresh(self.fresh, at: now)
    }

    private static func failedOnce(_ record: OutboundRecord) -> OutboundRecord {
        var record = record
        record.failures += 1
        record.detach()
        return record
    }

    private mutating func sendAgain(
        _ records: [OutboundRecord],
        _ call: UInt64,
        _ why: Unavailability,
        at now: UInt64
    ) -> AttemptTally {
        self.breaker.wasUnanswered(call, isFault: why.isConfigurationFault, at: now, jitter: &self.jitter)
        // The breaker's pause holds for all of them, so they are ready.
        for (lane, records) in Dictionary(grouping: records, by: \.lane).sorted(by: { $0.key < $1.key }) {
            self.retries.append(records, lane: lane, readyAt: now, costsBudget: true)
        }
        return AttemptTally(failed: records.count, unavailability: why)
    }

    private mutating func halve(_ records: [OutboundRecord], _ reason: String) -> AttemptTally {
        guard records.count > 1 else {
            self.refusals += records.map { Refusal(record: $0, reason: reason) }
            return AttemptTally(refused: records.count)
        }
        let middle = records.count / 2
        self.suspects.append(Array(records[..<middle]))
        self.suspects.append(Array(records[middle...]))
        return AttemptTally(failed: records.count)
    }

    private mutating func release(_ record: OutboundRecord) {
        self.outstandingRecords -= 1
        self.outstandingBytes -= record.bytes.readableBytes
    }

    // MARK: Refused records

    /// What was to be kept aside is, durably.
    mutating func keptAside() {
        for refusal in self.keeping {
            self.window.quarantined(refusal.record.sequence)
            self.release(refusal.record)
        }
        self.keeping = []
    }

    /// It is tried again after a pause; the stream goes on meanwhile.
    mutating func keepingFailed(at now: UInt64) {
        self.refusals = self.keeping + self.refusals
        self.keeping = []
        self.keepAgainAt = now &+ self.policy.quarantinePause
    }
}
