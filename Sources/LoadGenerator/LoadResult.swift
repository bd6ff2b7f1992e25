import Glibc

/// What one run came to.
public struct LoadResult: Sendable, Equatable {
    public var profile = LoadProfile.Shape.steady
    /// The highest rate that was intended.
    public var targetRate = 0.0
    public var connections = 0
    /// From the first intended start to the end of the schedule, or to where it was stopped; where answers came later,
    /// to the last of them.
    public var seconds = 0.0
    /// `planned` = `answered` + `errors`.
    public var planned = 0
    public var sent = 0
    public var answered = 0
    /// Tracking requests that were answered 200.
    public var accepted = 0
    public var status: [Int: Int] = [:]
    public var failures: [LoadFailure: Int] = [:]
    public var p50Ms = 0.0
    public var p90Ms = 0.0
    public var p99Ms = 0.0
    public var p999Ms = 0.0
    public var maxMs = 0.0
    public var late = 0
    public var waited = 0
    public var reconnects = 0
    /// Processor time of the whole generating process during the run.
    public var cpuSeconds = 0.0

    public var errors: Int { failures.values.reduce(0, +) }

    /// Answers a second.
    public var rate: Double { seconds > 0 ? Double(answered) / seconds : 0 }

    /// The share of late sends from which the figures say more about the generator than about the service.
    public static let toleratedLateShare = 0.01

    public var generatorWasLate: Bool {
        Double(late) > Double(sent) * Self.toleratedLateShare
    }

    /// Answers 500 to 599.
    var serverErrors: Int {
        status.filter { (500...599).contains($0.key) }.values.reduce(0, +)
    }

    init() {}

    init(tally: LoadTally, plan: LoadPlan, seconds: Double, cpuSeconds: Double) {
        profile = plan.profile.shape
        targetRate = plan.profile.rate
        connections = plan.connections
        self.seconds = seconds
        planned = tally.planned
        sent = tally.sent
        answered = tally.answered
        accepted = tally.accepted
        status = tally.status
        failures = tally.failures
        p50Ms = tally.milliseconds(at: 50)
        p90Ms = tally.milliseconds(at: 90)
        p99Ms = tally.milliseconds(at: 99)
        p999Ms = tally.milliseconds(at: 99.9)
        maxMs = tally.longestMilliseconds
        late = tally.late
        waited = tally.waited
        reconnects = tally.reconnects
        self.cpuSeconds = cpuSeconds
    }
}

/// One second of a run, for who watches it.
public struct LoadProgress: Sendable, Equatable {
    /// Whole seconds since the start.
    public var second = 0
    public var answered = 0
    public var p50Ms = 0.0
    public var p99Ms = 0.0
    public var p999Ms = 0.0
    public var status: [Int: Int] = [:]
    public var failures: [LoadFailure: Int] = [:]
    public var late = 0
    public var waited = 0

    init(second: Int, tally: LoadTally) {
        self.second = second
        answered = tally.answered
        p50Ms = tally.milliseconds(at: 50)
        p99Ms = tally.milliseconds(at: 99)
        p999Ms = tally.milliseconds(at: 99.9)
        status = tally.status
        failures = tally.failures
        late = tally.late
        waited = tally.waited
    }
}

/// User and system time of this process so far, in seconds: clock(3), whose unit is a microsecond by POSIX.
func processorSeconds() -> Double { Double(clock()) / 1_000_000 }
