import TrackingModel

/// What one event loop has answered. Every tracking request is entered once, when it is answered, in one step: so
/// received = accepted + rejected + unavailable + shed holds in every copy.
public struct RequestBooks: Sendable {
    /// The routes of the public port, as metrics name them.
    public enum Route: Int, CaseIterable, Sendable {
        case event
        case healthCheck
        case healthReady
        case other

        public var name: String {
            switch self {
            case .event: "event"
            case .healthCheck: "health_check"
            case .healthReady: "health_ready"
            case .other: "other"
            }
        }
    }

    public private(set) var received: UInt64 = 0
    private var outcomes: [[UInt64]]
    public private(set) var durations = DurationHistogram()

    public init() {
        self.outcomes = Route.allCases.map { _ in Outcome.allCases.map { _ in 0 } }
    }

    @inline(__always)
    mutating func enter(_ outcome: Outcome, route: Route, count: UInt64 = 1) {
        if route == .event { self.received &+= count }
        self.outcomes[route.rawValue][outcome.index] &+= count
    }

    @inline(__always)
    mutating func enter(nanoseconds: UInt64) { self.durations.record(nanoseconds: nanoseconds) }

    public static func + (left: RequestBooks, right: RequestBooks) -> RequestBooks {
        var sum = left
        sum.received &+= right.received
        for route in sum.outcomes.indices {
            for outcome in sum.outcomes[route].indices {
                sum.outcomes[route][outcome] &+= right.outcomes[route][outcome]
            }
        }
        sum.durations.add(right.durations)
        return sum
    }

    public var accepted: UInt64 { self.count(.accepted) }
    public var unavailable: UInt64 { self.count(.refused(.unavailable)) &+ self.count(.refused(.journalFull)) }
    public var shed: UInt64 { self.count(.refused(.overloaded)) }

    /// By code, with a zero for what has not happened.
    public var rejected: [(reason: String, count: UInt64)] {
        Outcome.allCases.compactMap { outcome in
            switch outcome {
            case .accepted: nil
            case .refused(let refusal) where refusal.kind != .rejected: nil
            default: (outcome.code, self.count(outcome))
            }
        }
    }

    /// Every series from the start: what cannot happen on a route stays at zero.
    public var series: [(route: String, result: String, count: UInt64)] {
        Route.allCases.flatMap { route in
            Outcome.allCases.map { (route.name, $0.code, self.outcomes[route.rawValue][$0.index]) }
        }
    }

    private func count(_ outcome: Outcome) -> UInt64 { self.outcomes[Route.event.rawValue][outcome.index] }
}

/// How long answers took, in the buckets that Prometheus sums up.
public struct DurationHistogram: Sendable {
    /// Upper bounds in seconds; the last bucket is open.
    public static let bounds = [
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
    ]
    private static let nanosecondBounds = bounds.map { UInt64($0 * 1e9) }

    public private(set) var buckets: [UInt64]
    public private(set) var nanoseconds: UInt64 = 0

    public init() { self.buckets = Array(repeating: 0, count: Self.bounds.count + 1) }

    mutating func record(nanoseconds: UInt64) {
        let bounds = Self.nanosecondBounds
        var bucket = 0
        while bucket < bounds.count, nanoseconds > bounds[bucket] { bucket &+= 1 }
        self.buckets[bucket] &+= 1
        self.nanoseconds &+= nanoseconds
    }

    mutating func add(_ other: DurationHistogram) {
        for index in self.buckets.indices { self.buckets[index] &+= other.buckets[index] }
        self.nanoseconds &+= other.nanoseconds
    }
}
