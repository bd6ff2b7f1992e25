/// When a batch of a sink is large or old enough to go.
public struct BatchLimits: Sendable, Equatable {
    /// At least 1.
    public var records: Int = 500
    /// Of the records alone; a single larger record still goes, by itself.
    public var bytes: Int = 5 << 20
    /// In milliseconds, since its first record was taken.
    public var age: Int = 100

    public init() {}
}
