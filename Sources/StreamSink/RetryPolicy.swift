/// How patient a delivery is. Times in milliseconds.
///
/// Back-off is exponential with *full jitter*: a pause is evenly distributed between nothing and the doubled base (AWS
/// Architecture Blog, "Exponential Backoff And Jitter").
public struct RetryPolicy: Sendable, Equatable {
    /// The longest first pause after a failure; it doubles with each failure in a row …
    public var firstPause: UInt64 = 100
    /// … up to this.
    public var longestPause: UInt64 = 5_000
    /// So many rounds of calls in a row without an answer open the breaker; calls that ran together are one round.
    public var breakerFailures = 3
    /// From the begin of one call to the next while the breaker is open, plus up to a tenth: at most one a second.
    public var probeInterval: UInt64 = 1_000
    /// Records that may be sent again at once, …
    public var budgetRecords = 5_000
    /// … one more for each record delivered, and so many in each second: in the long run at most as many records are sent
    /// again as are delivered, plus these.
    public var budgetRecordsPerSecond = 500
    /// Between two attempts to keep a refused record aside.
    public var quarantinePause: UInt64 = 500

    public init() {}

    /// The longest pause after so many failures in a row, at least one.
    func ceiling(failures: Int) -> UInt64 {
        let doublings = UInt64(min(max(failures - 1, 0), 32))
        let (doubled, overflow) = self.firstPause.multipliedReportingOverflow(by: 1 << doublings)
        return overflow ? self.longestPause : min(doubled, self.longestPause)
    }
}

/// What a delivery holds at most, whatever waits in the journal.
public struct DeliveryLimits: Sendable, Equatable {
    public var batch = BatchLimits()
    /// Calls that run at the same time.
    public var batchesInFlight = 4
    /// Records in memory: gathered, in flight, to be sent again, to be kept aside.
    public var outstandingRecords = 10_000
    /// Of those records.
    public var outstandingBytes = 32 << 20
    /// From the oldest record that is not done to the newest taken: what a crash may send twice.
    public var windowRecords = 50_000
    /// In milliseconds: how long a shutdown goes on delivering.
    public var drainTimeout = 10_000

    public init() {}

    /// What a stream's own bounds leave of a batch.
    func batch(within put: PutLimits) -> BatchLimits {
        var limits = self.batch
        limits.records = min(max(1, limits.records), put.records, self.outstandingRecords)
        limits.bytes = min(max(1, limits.bytes), put.bytes)
        return limits
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): jitter that a test can repeat.
struct JitterGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func pause(upTo ceiling: UInt64) -> UInt64 { .random(in: 0...ceiling, using: &self) }
}

/// A token bucket: how many records may be sent again.
struct RetryBudget: Sendable {
    private let capacity: Int
    private let perSecond: Int
    private(set) var tokens: Int
    private var filledAt: UInt64?

    init(_ policy: RetryPolicy) {
        self.capacity = max(1, policy.budgetRecords)
        self.perSecond = max(1, policy.budgetRecordsPerSecond)
        self.tokens = self.capacity
    }

    /// What the time since the last call brought.
    mutating func fill(at now: UInt64) {
        guard let before = self.filledAt else {
            self.filledAt = now
            return
        }
        let gained = Int(clamping: min(now &- min(before, now), 60_000)) * self.perSecond / 1000
        // Less than a token is not lost: the time stays where it was.
        guard gained > 0 else { return }
        self.filledAt = now
        self.tokens = min(self.capacity, self.tokens + gained)
    }

    mutating func earned(_ records: Int) { self.tokens = min(self.capacity, self.tokens + records) }

    mutating func spent(_ records: Int) { self.tokens = max(0, self.tokens - records) }

    /// When there is a token again, in milliseconds from now.
    var nextToken: UInt64 { UInt64(max(1, 1000 / self.perSecond)) }
}
