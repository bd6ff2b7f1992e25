/// Stops calls to a stream that does not answer, and finds out when it does again.
///
///     closed ── so many rounds of calls in a row unanswered, or a configuration fault ──► open
///       ▲                                                                      │ ▲
///       │ answered                                                 probe's time│ │unanswered
///       └─────────────────────────── half open: one call ◄──────────────────────┘ │
///                                          └─────────────────────────────────────┘
///
/// A value without a clock; times in milliseconds. While closed, unanswered calls pause the next ones with back-off, and
/// they go one at a time.
struct Breaker: Sendable {
    enum State: Int, Sendable, Equatable {
        case closed = 0
        case halfOpen = 1
        case open = 2
    }

    private let policy: RetryPolicy
    private(set) var state = State.closed
    /// Rounds of calls without an answer: what ran together fails together and counts once.
    private var failures = 0
    private var roundEnd: UInt64 = 0
    /// No call begins before it.
    private(set) var pausedUntil: UInt64 = 0
    private var lastBegin: UInt64 = 0
    private var lastCall: UInt64 = 0
    /// The call that finds out, while half open.
    private var probe: UInt64?

    init(_ policy: RetryPolicy) { self.policy = policy }

    /// The last word was no answer: calls go one at a time until there is one.
    var isInDoubt: Bool { self.failures > 0 }

    func allowsCall(at now: UInt64) -> Bool { self.state != .halfOpen && now >= self.pausedUntil }

    mutating func began(_ call: UInt64, at now: UInt64) {
        self.lastBegin = now
        self.lastCall = call
        guard self.state == .open else { return }
        self.state = .halfOpen
        self.probe = call
    }

    /// The stream answered the call, whatever it said.
    mutating func answered(_ call: UInt64) {
        self.failures = 0
        // An answer to an older call says that it lives, too.
        self.state = .closed
        self.probe = nil
        self.pausedUntil = 0
    }

    mutating func wasUnanswered(_ call: UInt64, isFault: Bool, at now: UInt64, jitter: inout JitterGenerator) {
        if call > self.roundEnd {
            self.failures = min(self.failures + 1, 64)
            self.roundEnd = self.lastCall
        }
        switch self.state {
        case .halfOpen:
            // Calls from before say nothing new.
            guard self.probe == call else { return }
            self.open(&jitter)
        case .open: break
        case .closed where isFault || self.failures >= self.policy.breakerFailures: self.open(&jitter)
        case .closed:
            let pause = jitter.pause(upTo: self.policy.ceiling(failures: self.failures))
            self.pausedUntil = max(self.pausedUntil, now &+ pause)
        }
    }

    private mutating func open(_ jitter: inout JitterGenerator) {
        self.state = .open
        self.probe = nil
        let interval = self.policy.probeInterval
        self.pausedUntil = self.lastBegin &+ interval &+ jitter.pause(upTo: interval / 10)
    }
}
