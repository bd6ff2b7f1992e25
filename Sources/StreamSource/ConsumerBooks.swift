/// What a consumer did so far, and how it is.
public struct ConsumerBooks: Sendable, Equatable {
    public var stored: UInt64 = 0
    public var duplicates: UInt64 = 0
    /// Records that became dead letters, by reason; one that was kept before counts again when it is read again.
    public var deadLetters: [Damage.Reason: UInt64] = [:]
    /// Attempts that failed, by step.
    public var failures: [Part: UInt64] = [:]
    /// What does not work at the moment.
    public var broken: Set<Part> = [.source]
    /// Since when, in milliseconds since the epoch, something lies unstored; nil while nothing does.
    public var behindSince: Int64?

    /// What can fail.
    public enum Part: String, Sendable, CaseIterable {
        case source
        case table
        case deadLetters = "dead_letters"
    }

    public init() {}

    /// In seconds: the age of what lies unstored.
    public func lag(at now: Int64) -> Double {
        guard let behindSince, now > behindSince else { return 0 }
        return Double(now - behindSince) / 1000
    }
}
