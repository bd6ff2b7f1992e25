import NIOCore

/// The life of the one connection to Redis, as a value without I/O.
///
///     stopped ── start ──► connecting ── opened ──► greeting ── welcome ──► ready
///        ▲                     ▲  │                     │                     │
///      stop                timer  └── failed, timer ────┴──── failed ─────────┘
///     (anywhere)               │                 ▼
///                              └───────────── waiting
///
/// Each method is an event that happened; what it returns is what the driver must do now. The driver closes whatever
/// channel it has when told to `wait` or `close`.
struct LinkState: Sendable, Equatable {
    enum Action: Sendable, Equatable {
        case none
        /// Open a channel; call ``timerFired(at:jitter:)`` at the deadline.
        case connect(deadline: NIODeadline)
        /// Send the greeting; call ``timerFired(at:jitter:)`` at the deadline.
        case greet(deadline: NIODeadline)
        /// The connection may be used; no timer is needed.
        case useConnection
        /// Close the channel and call ``timerFired(at:jitter:)`` at `until`. `wasReady` says that users must be told.
        case wait(until: NIODeadline, because: RedisError, wasReady: Bool)
        /// Close the channel for good.
        case close(wasReady: Bool)
    }

    private enum Phase: Sendable, Equatable {
        case stopped
        case waiting(until: NIODeadline)
        case connecting(deadline: NIODeadline)
        case greeting(Greeting, deadline: NIODeadline)
        case ready(since: NIODeadline)
    }

    /// The timings this machine knows, from the configuration.
    struct Timing: Sendable, Equatable {
        var connectTimeout: TimeAmount
        var backOff: ClosedRange<TimeAmount>
        /// A connection that was ready for less than this did not end the failures before it: a server that takes
        /// connections and throws them out again is not asked faster and faster.
        var steadyAfter: TimeAmount
    }

    private let timing: Timing
    private let authenticates: Bool
    private var phase = Phase.stopped
    /// Failures since the connection was steady; decides the back-off.
    private var failures = 0

    init(timing: Timing, authenticates: Bool) {
        self.timing = timing
        self.authenticates = authenticates
    }

    var isReady: Bool { if case .ready = phase { true } else { false } }
    /// Whether the failure that was just told is the first since the connection was steady.
    var isFirstFailure: Bool { failures == 1 }
    var isStopped: Bool { phase == .stopped }

    mutating func started(at now: NIODeadline) -> Action {
        guard phase == .stopped else { return .none }
        failures = 0
        return connect(at: now)
    }

    mutating func channelOpened(at now: NIODeadline) -> Action {
        guard case .connecting = phase else { return .none }
        let deadline = now + timing.connectTimeout
        phase = .greeting(Greeting(authenticates: authenticates), deadline: deadline)
        return .greet(deadline: deadline)
    }

    /// An answer while the greeting runs; when ready, answers are the user's and do not come here.
    mutating func greetingAnswered(_ answer: RESPValue, at now: NIODeadline, jitter: Double) -> Action {
        guard case .greeting(var greeting, let deadline) = phase else { return .none }
        switch greeting.received(answer) {
        case .incomplete:
            phase = .greeting(greeting, deadline: deadline)
            return .none
        case .welcome:
            phase = .ready(since: now)
            return .useConnection
        case .refused(let error):
            return failed(error, at: now, jitter: jitter)
        }
    }

    /// The channel could not be opened, was closed, or must not be used any longer.
    ///
    /// - Parameter jitter: evenly distributed in 0..<1.
    mutating func failed(_ error: RedisError, at now: NIODeadline, jitter: Double) -> Action {
        let wasReady = isReady
        switch phase {
        case .stopped, .waiting: return .none
        case .connecting, .greeting: break
        case .ready(let since): if since + timing.steadyAfter <= now { failures = 0 }
        }
        let until = now + pause(jitter: jitter)
        failures = min(failures + 1, 32)
        phase = .waiting(until: until)
        return .wait(until: until, because: error, wasReady: wasReady)
    }

    mutating func timerFired(at now: NIODeadline, jitter: Double) -> Action {
        switch phase {
        case .waiting(let until) where until <= now:
            return connect(at: now)
        case .connecting(let deadline) where deadline <= now:
            return failed(RedisError(.timeout, "Redis cannot be reached in time."), at: now, jitter: jitter)
        case .greeting(_, let deadline) where deadline <= now:
            return failed(RedisError(.timeout, "Redis does not answer the greeting in time."), at: now, jitter: jitter)
        case .stopped, .waiting, .connecting, .greeting, .ready:
            return .none
        }
    }

    mutating func stopped() -> Action {
        guard phase != .stopped else { return .none }
        let wasReady = isReady
        phase = .stopped
        return .close(wasReady: wasReady)
    }

    private mutating func connect(at now: NIODeadline) -> Action {
        let deadline = now + timing.connectTimeout
        phase = .connecting(deadline: deadline)
        return .connect(deadline: deadline)
    }

    /// The doubled pause of this many failures, at most the upper bound, shortened by up to a half.
    private func pause(jitter: Double) -> TimeAmount {
        let first = timing.backOff.lowerBound.nanoseconds
        let last = timing.backOff.upperBound.nanoseconds
        let doubled = failures < 20 ? min(first << Int64(failures), last) : last
        return .nanoseconds(doubled / 2 + Int64(Double(doubled / 2) * min(max(jitter, 0), 1)))
    }
}
