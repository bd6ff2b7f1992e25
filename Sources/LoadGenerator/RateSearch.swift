/// Looks for the highest rate at which the service holds a p99: doubles until it breaks, then halves the gap.
public struct RateSearch: Sendable, Equatable {
    public enum Step: Equatable, Sendable {
        case trial(rate: Double)
        /// Nothing higher was held; nil when not even the lowest rate was.
        case finished(highest: Double?)
    }

    public static let lowest = 100.0
    /// The search ends when what held and what did not are this close.
    static let closeness = 1.05
    /// One failure may be a neighbour's noise, two of the same rate are the service.
    static let attempts = 2

    private let ceiling: Double
    private var held: Double?
    private var broken: Double?
    private var current: Double
    private var failures = 0

    public init(from first: Double = 2_000, ceiling: Double = LoadPlan.highestRate) {
        self.ceiling = ceiling
        current = min(max(first, Self.lowest), ceiling)
    }

    /// The first rate to try; every further one follows from how a trial went.
    public var first: Step { .trial(rate: current) }

    public mutating func tried(held isHeld: Bool) -> Step {
        if isHeld {
            failures = 0
            held = current
            if current >= ceiling { return .finished(highest: held) }
        } else {
            failures += 1
            if failures < Self.attempts { return .trial(rate: current) }
            failures = 0
            broken = current
            if current <= Self.lowest { return .finished(highest: held) }
        }
        return nextStep()
    }

    private mutating func nextStep() -> Step {
        switch (held, broken) {
        case (let held?, let broken?):
            if broken / held <= Self.closeness { return .finished(highest: held) }
            // The geometric middle: the gap is a ratio.
            current = (held * broken).squareRoot()
        case (let held?, nil):
            current = min(held * 2, ceiling)
        case (nil, let broken?):
            current = max(broken / 4, Self.lowest)
        case (nil, nil):
            break
        }
        return .trial(rate: current)
    }
}

extension LoadResult {
    /// Whether every request was answered, none by a server error, at the intended rate, and within `p99`.
    public func holds(p99: Duration) -> Bool {
        errors == 0 && serverErrors == 0 && answered > 0 && p99Ms <= p99 / .milliseconds(1)
            && rate >= 0.97 * targetRate
    }
}
