import Metrics

/// A sink's series; all exist from the start.
struct SinkMetrics: Sendable {
    private let delivered: Counter
    private let failed: Counter
    private let throttled: Counter
    private let quarantined: Counter
    private let answered: Counter
    private let unanswered: Counter
    private let rested: FloatingPointCounter
    private let oldestAge: Gauge
    private let breaker: Gauge

    init(sink: String) {
        func counter(_ label: String, _ result: String) -> Counter {
            let counter = Counter(label: label, dimensions: [("sink", sink), ("result", result)])
            counter.increment(by: 0)
            return counter
        }
        let records = "adtrack_sink_records_total"
        self.delivered = counter(records, "delivered")
        self.failed = counter(records, "failed")
        self.throttled = counter(records, "throttled")
        self.quarantined = counter(records, "quarantined")
        self.answered = counter("adtrack_sink_attempts_total", "answered")
        self.unanswered = counter("adtrack_sink_attempts_total", "unavailable")
        self.rested = FloatingPointCounter(label: "adtrack_sink_rested_seconds_total", dimensions: [("sink", sink)])
        self.rested.increment(by: 0)
        self.oldestAge = Gauge(label: "adtrack_sink_oldest_event_age_seconds", dimensions: [("sink", sink)])
        self.breaker = Gauge(label: "adtrack_sink_breaker_state", dimensions: [("sink", sink)])
        self.oldestAge.record(0)
        self.breaker.record(0)
    }

    func count(_ tally: AttemptTally) {
        (tally.unavailability == nil ? self.answered : self.unanswered).increment()
        if tally.delivered > 0 { self.delivered.increment(by: tally.delivered) }
        if tally.failed > 0 { self.failed.increment(by: tally.failed) }
        if tally.throttled > 0 { self.throttled.increment(by: tally.throttled) }
    }

    func quarantined(_ records: Int) { self.quarantined.increment(by: records) }
    func rested(_ seconds: Double) { self.rested.increment(by: seconds) }
    func oldest(age seconds: Double) { self.oldestAge.record(seconds) }
    func breaker(_ state: Breaker.State) { self.breaker.record(state.rawValue) }
}
