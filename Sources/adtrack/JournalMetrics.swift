import EventJournal
import Telemetry

/// The journal's books as metrics: from one snapshot, so that they add up on every page.
enum JournalMetrics {
    static func families(_ books: JournalBooks) -> [MetricFamily] {
        [
            MetricFamily(
                "adtrack_journal_appended_events_total",
                .counter,
                help: "Events taken, and what the start recovered.",
                [.init([], .integer(books.appended))]
            ),
            MetricFamily(
                "adtrack_journal_acknowledged_events_total",
                .counter,
                help: "Events that every sink has.",
                [.init([], .integer(books.acknowledged))]
            ),
            MetricFamily(
                "adtrack_journal_pending_events",
                .gauge,
                help: "Events that not every sink has yet.",
                [.init([], .integer(books.pending))]
            ),
            MetricFamily(
                "adtrack_journal_dropped_events_total",
                .counter,
                help: "Events given up: at the bound, or damaged on disk.",
                [
                    .init([("reason", "bound")], .integer(books.droppedAtBound)),
                    .init([("reason", "corrupt")], .integer(books.droppedAsCorrupt)),
                ]
            ),
            MetricFamily(
                "adtrack_journal_bytes",
                .gauge,
                help: "Bytes of records in the journal.",
                [.init([], .integer(UInt64(max(0, books.bytes))))]
            ),
            MetricFamily(
                "adtrack_journal_state",
                .gauge,
                help: "1 for the state that the journal is in.",
                JournalState.allCases.map {
                    .init([("state", $0.rawValue)], .integer($0 == books.state ? 1 : 0))
                }
            ),
        ]
    }
}
