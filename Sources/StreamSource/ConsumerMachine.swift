/// What a consumer does next, as a value without I/O.
///
///     reading ── records ──► keeping (dead letters, if any) ──► storing ──► committing ──► reading
///        │                          ▲                             │
///        │                          └────── some were refused ────┘
///        └── none, or asked to stop ──► ended
///
/// A step that fails is tried again after a pause that doubles up to a bound, each shortened at random by up to a half.
/// Nothing is ever skipped: as long as the table is away, nothing is read. Asked to stop, it brings what it has read to
/// its end; only when that fails for longer than the drain may take it leaves the batch, which then is read again.
struct ConsumerMachine: Sendable, Equatable {
    enum Step: Sendable, Equatable {
        case read
        /// Keep the dead letters of the batch.
        case keep
        case store
        case commit
    }

    enum Action: Sendable, Equatable {
        case perform(Step)
        /// Wait, then call ``pausePassed(at:)``.
        case pause(Duration)
        case end
    }

    enum Outcome: Sendable, Equatable {
        /// - Parameter damaged: how many of them can't be used.
        case read(records: Int, damaged: Int)
        case readNothing
        /// The source has ended.
        case exhausted
        case kept
        case stored
        /// The table refuses some of the items; they became dead letters.
        case refused
        case committed
    }

    /// How long to wait after failures.
    struct Pauses: Sendable, Equatable {
        var first = Duration.milliseconds(50)
        var longest = Duration.seconds(5)
    }

    private let pauses: Pauses
    private(set) var step = Step.read
    /// Failures of the present step in a row.
    private(set) var failures = 0
    private var isStopping = false
    private var drainEnd: Duration?

    init(_ pauses: Pauses = Pauses()) { self.pauses = pauses }

    mutating func began() -> Action { .perform(self.step) }

    /// The present step succeeded.
    mutating func succeeded(_ outcome: Outcome) -> Action {
        self.failures = 0
        switch outcome {
        case .readNothing: return self.isStopping ? .end : .perform(.read)
        case .exhausted: return .end
        case .read(_, let damaged): self.step = damaged > 0 ? .keep : .store
        case .kept: self.step = .store
        case .refused: self.step = .keep
        case .stored: self.step = .commit
        case .committed:
            self.step = .read
            if self.isStopping { return .end }
        }
        return .perform(self.step)
    }

    /// The present step failed.
    ///
    /// - Parameters:
    ///   - now: on any clock that never goes back.
    ///   - jitter: evenly distributed in 0..<1.
    mutating func failed(at now: Duration, jitter: Double) -> Action {
        if self.isStopping, self.step == .read { return .end }
        let pause = self.pause(jitter: jitter)
        if let drainEnd, now + pause >= drainEnd { return .end }
        self.failures = min(self.failures + 1, 32)
        return .pause(pause)
    }

    mutating func pausePassed() -> Action {
        self.isStopping && self.step == .read ? .end : .perform(self.step)
    }

    /// - Parameter drainEnd: until when what was read may be tried to be stored.
    mutating func stopRequested(drainEnd: Duration) {
        self.isStopping = true
        self.drainEnd = drainEnd
    }

    private func pause(jitter: Double) -> Duration {
        let doubled = self.failures < 16 ? self.pauses.first * (1 << self.failures) : self.pauses.longest
        let bounded = min(doubled, self.pauses.longest)
        return bounded / 2 + bounded / 2 * min(max(jitter, 0), 1)
    }
}
