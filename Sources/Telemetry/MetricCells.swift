import CoreMetrics
import Synchronization

/// A number that grows.
final class CounterCell: CounterHandler {
    private let count = Atomic<UInt64>(0)

    var value: UInt64 { self.count.load(ordering: .relaxed) }

    func increment(by amount: Int64) { self.count.add(UInt64(max(0, amount)), ordering: .relaxed) }
    /// A counter never falls while the process lives.
    func reset() {}
}

/// A number that goes up and down.
final class GaugeCell: MeterHandler, RecorderHandler {
    private let number = Mutex(0.0)

    var value: Double { self.number.withLock { $0 } }

    func set(_ value: Int64) { self.set(Double(value)) }
    func set(_ value: Double) { self.number.withLock { $0 = value } }
    func increment(by amount: Double) { self.number.withLock { $0 += amount } }
    func decrement(by amount: Double) { self.number.withLock { $0 -= amount } }
    func record(_ value: Int64) { self.set(Double(value)) }
    func record(_ value: Double) { self.set(value) }
}

/// How many values lay in which range. Durations are kept in seconds.
final class HistogramCell: TimerHandler, RecorderHandler {
    /// From a tenth of a millisecond, which a sync of a good disk takes, to ten seconds.
    static let bounds = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    private struct Contents {
        var buckets = [UInt64](repeating: 0, count: HistogramCell.bounds.count + 1)
        var sum = 0.0
    }

    private let contents = Mutex(Contents())

    var value: MetricFamily.Value {
        self.contents.withLock { .histogram(bounds: Self.bounds, buckets: $0.buckets, sum: $0.sum) }
    }

    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1e9) }
    func record(_ value: Int64) { self.record(Double(value)) }

    func record(_ value: Double) {
        let bucket = Self.bounds.firstIndex { value <= $0 } ?? Self.bounds.count
        self.contents.withLock { contents in
            contents.buckets[bucket] &+= 1
            contents.sum += value
        }
    }
}
