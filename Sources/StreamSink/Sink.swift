public import ServiceLifecycle

/// Where a copy of every event goes: reads the journal at a position of its own, delivers, acknowledges.
///
/// `run` returns after a graceful shutdown, when everything that the journal had is delivered, or after the time that a
/// shutdown may take.
public protocol Sink: Service {
    /// As the journal, the ledger and the metrics know it.
    var name: String { get }
    /// What it did so far besides what the journal's books say; never waits.
    var books: SinkBooks { get }
}

/// What a sink did with records. What is delivered and quarantined stands in the journal's books, which it is acknowledged
/// to: see ``JournalBooks/SinkPosition``.
public struct SinkBooks: Sendable, Equatable {
    /// Attempts that failed, in records.
    public var failed: UInt64 = 0
    /// Attempts that were put off by the sink, in records.
    public var throttled: UInt64 = 0
    /// How long it has rested to leave the core to answers: see ``CatchUpPace``.
    public var restedNanoseconds: UInt64 = 0
    /// The sink answers: attempts go through.
    public var isAvailable = true

    public init() {}
}
