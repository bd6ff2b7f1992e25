/// How many requests a second are due at each moment of a run; nothing in it depends on answers.
public struct LoadProfile: Sendable, Equatable {
    public enum Shape: String, Sendable, CaseIterable {
        /// The same rate from the first to the last second.
        case steady
        /// From a tenth of the rate straight up to the rate.
        case ramp
        /// A fifth of the rate, with the whole rate in the middle fifth of the run.
        case spike
    }

    public let shape: Shape
    /// The highest rate of the run, in requests a second.
    public let rate: Double
    public let duration: Duration

    let seconds: Double

    public init(shape: Shape, rate: Double, duration: Duration) {
        self.shape = shape
        self.rate = rate
        self.duration = duration
        seconds = duration / .seconds(1)
    }

    /// The rate `moment` seconds after the start.
    func rate(at moment: Double) -> Double {
        switch shape {
        case .steady:
            return rate
        case .ramp:
            return rate * (0.1 + 0.9 * moment / seconds)
        case .spike:
            let part = moment / seconds
            return part >= 0.4 && part < 0.6 ? rate : rate * 0.2
        }
    }

    /// The intended starts of all requests, one after the other.
    func schedule() -> Schedule {
        Schedule(profile: self)
    }

    /// Walks the intended starts without keeping them: a backlog of any length costs no memory.
    struct Schedule {
        private let profile: LoadProfile
        /// Seconds from the start of the run to the next request; at or beyond the duration there is none.
        private(set) var next = 0.0
        private(set) var issued = 0
        /// Seconds from the start of the run; nothing is due at it or after it.
        private(set) var end: Double

        init(profile: LoadProfile) {
            self.profile = profile
            end = profile.seconds
        }

        var isOver: Bool { next >= end }

        mutating func cut(at moment: Double) {
            end = min(end, moment)
        }

        mutating func advance() {
            issued += 1
            switch profile.shape {
            case .steady:
                // A product and not a sum: after 10 million requests the last one is still due at its own time.
                next = Double(issued) / profile.rate
            case .ramp, .spike:
                next += 1 / profile.rate(at: next)
            }
        }
    }
}
