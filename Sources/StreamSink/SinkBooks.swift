import Metrics

/// What a sink did with records.
public struct SinkBooks: Sendable, Equatable {
    /// Handed over for good.
    public var delivered: UInt64 = 0
    /// Refused for good, and kept aside.
    public var quarantined: UInt64 = 0
    /// Attempts that failed, in records.
    public var failed: UInt64 = 0
    /// The sink answers: attempts go through.
    public var isAvailable = true

    public init() {}
}

/// A sink's series; all exist from the start.
struct SinkMetrics: Sendable {
    private let delivered: Counter
    private let failed: Counter
    private let oldestAge: Gauge
    private let breaker: Gauge

    init(sink: String) {
        let name = ("sink", sink)
        self.delivered = Counter(label: "adtrack_sink_records_total", dimensions: [name, ("result", "delivered")])
        self.failed = Counter(label: "adtrack_sink_records_total", dimensions: [name, ("result", "failed")])
        self.oldestAge = Gauge(label: "adtrack_sink_oldest_event_age_seconds", dimensions: [name])
        self.breaker = Gauge(label: "adtrack_sink_breaker_state", dimensions: [name])
        self.delivered.increment(by: 0)
        self.failed.increment(by: 0)
        self.oldestAge.record(0)
        self.breaker.record(0)
    }

    func delivered(_ records: Int) { self.delivered.increment(by: records) }
    func failed(_ records: Int) { self.failed.increment(by: records) }
    func oldest(age seconds: Double) { self.oldestAge.record(seconds) }
    /// 0 closed, 1 open.
    func breaker(isOpen: Bool) { self.breaker.record(isOpen ? 1 : 0) }
}
