import EventJournal
import NIOConcurrencyHelpers
import NIOCore

/// What every sink does besides delivering: it acknowledges, keeps books, and shows itself in metrics.
final class SinkAccount: Sendable {
    let reader: JournalReader
    private let journal: EventJournal
    private let metrics: SinkMetrics
    private let snapshot = NIOLockedValueBox(SinkBooks())

    /// - Returns: nil when the journal was opened without that name.
    init?(_ name: String, at journal: EventJournal) {
        guard let reader = journal.makeReader(sink: name) else { return nil }
        self.reader = reader
        self.journal = journal
        self.metrics = SinkMetrics(sink: name)
    }

    var name: String { self.reader.sink }
    var books: SinkBooks { self.snapshot.withLockedValue { $0 } }

    func attempted(_ tally: AttemptTally) {
        self.metrics.count(tally)
        guard tally.failed > 0 || tally.throttled > 0 else { return }
        self.snapshot.withLockedValue { books in
            books.failed &+= UInt64(tally.failed)
            books.throttled &+= UInt64(tally.throttled)
        }
    }

    /// - Parameter quarantined: of the records that this acknowledges.
    func acknowledge(through sequence: UInt64, quarantined: UInt64 = 0) {
        self.reader.acknowledge(through: sequence, quarantined: quarantined)
    }

    /// Waits so long, in nanoseconds, on the sink's thread; not at all for 0.
    nonisolated(nonsending) func rest(_ nanoseconds: UInt64, on loop: any EventLoop) async {
        guard nanoseconds > 0 else { return }
        self.metrics.rested(Double(nanoseconds) / 1_000_000_000)
        self.snapshot.withLockedValue { $0.restedNanoseconds &+= nanoseconds }
        let alarm = loop.scheduleTask(in: .nanoseconds(Int64(clamping: nanoseconds))) {}
        // Without `get()`, which goes by way of another thread.
        await withCheckedContinuation { continuation in
            alarm.futureResult.whenComplete { _ in continuation.resume() }
        }
    }

    func quarantined(_ records: Int) { self.metrics.quarantined(records) }

    /// - Returns: whether it is news that the sink is available, or that it is not.
    func note(_ breaker: Breaker.State) -> Bool {
        let isAvailable = breaker == .closed
        self.metrics.breaker(breaker)
        return self.snapshot.withLockedValue { books in
            defer { books.isAvailable = isAvailable }
            return books.isAvailable != isAvailable
        }
    }

    func reportAge() {
        let oldest = self.journal.books.sinks.first { $0.name == self.name }?.oldestPendingMilliseconds
        let now = SinkClock.wallMilliseconds()
        self.metrics.oldest(age: oldest.map { now > $0 ? Double(now - $0) / 1000 : 0 } ?? 0)
    }
}

/// What one attempt came to, in records.
struct AttemptTally: Sendable, Equatable {
    var delivered = 0
    var throttled = 0
    var failed = 0
    var refused = 0
    /// Nothing is known of any record.
    var unavailability: Unavailability?
}
