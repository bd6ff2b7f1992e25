/// One metric as a page shows it: its name, what it means, and its series.
public struct MetricFamily: Sendable {
    public enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
    }

    public struct Series: Sendable {
        public var labels: [(name: String, value: String)]
        public var value: Value

        public init(_ labels: [(name: String, value: String)] = [], _ value: Value) {
            self.labels = labels
            self.value = value
        }
    }

    public enum Value: Sendable {
        case integer(UInt64)
        case number(Double)
        /// Counts of each bucket, not yet cumulated; the last one is open.
        case histogram(bounds: [Double], buckets: [UInt64], sum: Double)
    }

    public let name: String
    public let help: String
    public let kind: Kind
    public var series: [Series]

    public init(_ name: String, _ kind: Kind, help: String, _ series: [Series]) {
        self.name = name
        self.help = help
        self.kind = kind
        self.series = series
    }
}
