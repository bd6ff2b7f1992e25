public import CoreMetrics
import Synchronization

/// The process' metrics: what is counted through swift-metrics, and what is collected at each look.
///
/// Labels come from closed sets of our own code, so the number of series is fixed when the parts have been made.
public final class MetricsRegistry: MetricsFactory {
    /// Whatever is consistent only as a whole is read in one go when the page is made.
    public typealias Collector = @Sendable () async -> [MetricFamily]

    private struct State {
        var counters: [SeriesKey: CounterCell] = [:]
        var gauges: [SeriesKey: GaugeCell] = [:]
        var histograms: [SeriesKey: HistogramCell] = [:]
        var collectors: [Collector] = []
    }

    private struct SeriesKey: Hashable {
        let name: String
        let labels: [String]

        init(_ name: String, _ dimensions: [(String, String)]) {
            self.name = name
            self.labels = dimensions.flatMap { [$0.0, $0.1] }
        }

        var pairs: [(name: String, value: String)] {
            stride(from: 0, to: self.labels.count, by: 2).map { (self.labels[$0], self.labels[$0 + 1]) }
        }
    }

    private let help: [String: String]
    private let state = Mutex(State())

    /// - Parameter help: what each metric means, by name.
    public init(help: [String: String]) { self.help = help }

    public func collect(_ collector: @escaping Collector) {
        self.state.withLock { $0.collectors.append(collector) }
    }

    public func families() async -> [MetricFamily] {
        let (counted, collectors) = self.state.withLock { state in
            (
                self.families(state.counters, .counter) { .integer($0.value) }
                    + self.families(state.gauges, .gauge) { .number($0.value) }
                    + self.families(state.histograms, .histogram) { $0.value },
                state.collectors
            )
        }
        var families = counted
        for collector in collectors { families += await collector() }
        return families
    }

    private func families<Cell>(
        _ cells: [SeriesKey: Cell],
        _ kind: MetricFamily.Kind,
        _ value: (Cell) -> MetricFamily.Value
    ) -> [MetricFamily] {
        Dictionary(grouping: cells, by: \.key.name).map { name, cells in
            let series = cells.sorted { $0.key.labels.lexicographicallyPrecedes($1.key.labels) }
                .map { MetricFamily.Series($0.key.pairs, value($0.value)) }
            return MetricFamily(name, kind, help: self.help[name] ?? name, series)
        }
    }

    // MARK: What swift-metrics asks for

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        self.state.withLock { self.cell(&$0.counters[SeriesKey(label, dimensions)], CounterCell()) }
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        self.state.withLock { self.cell(&$0.gauges[SeriesKey(label, dimensions)], GaugeCell()) }
    }

    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        guard aggregate else {
            return self.state.withLock { self.cell(&$0.gauges[SeriesKey(label, dimensions)], GaugeCell()) }
        }
        return self.state.withLock { self.cell(&$0.histograms[SeriesKey(label, dimensions)], HistogramCell()) }
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        self.state.withLock { self.cell(&$0.histograms[SeriesKey(label, dimensions)], HistogramCell()) }
    }

    private func cell<Cell>(_ place: inout Cell?, _ new: @autoclosure () -> Cell) -> Cell {
        if let cell = place { return cell }
        let cell = new()
        place = cell
        return cell
    }

    /// Series live as long as the process: counters never fall.
    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyMeter(_ handler: any MeterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}
}
