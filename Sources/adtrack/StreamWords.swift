import Logging
import StreamSource
import Telemetry

/// What `consume` and `update` call the same things.
struct StreamWords: Sendable {
    /// The line that says that it runs.
    let running: Logger.Message
    /// The series of what became of records.
    let results: (metric: String, help: String, stored: String, duplicate: String)
    /// The series of attempts that failed.
    let failures: String
    /// The series of how old the oldest record is that waits.
    let lag: String
    /// What is not ready when nothing can be stored.
    let table: String

    static let consume = StreamWords(
        running: "consuming",
        results: ("adtrack_consume_events_total", "Events by what became of them.", "stored", "duplicate"),
        failures: "adtrack_consume_failures_total",
        lag: "adtrack_consume_lag_seconds",
        table: "table"
    )

    static let update = StreamWords(
        running: "updating",
        results: (
            "adtrack_update_programs_total", "Changes of programs by what became of them.", "applied", "not_newer"
        ),
        failures: "adtrack_update_failures_total",
        lag: "adtrack_update_lag_seconds",
        table: "redis"
    )

    func name(of part: ConsumerBooks.Part) -> String {
        switch part {
        case .source: "source"
        case .table: self.table
        case .deadLetters: "dead-letters"
        }
    }

    /// From one look at the books.
    func families(_ books: ConsumerBooks) -> [MetricFamily] {
        [
            MetricFamily(
                self.results.metric,
                .counter,
                help: self.results.help,
                [
                    .init([("result", self.results.stored)], .integer(books.stored)),
                    .init([("result", self.results.duplicate)], .integer(books.duplicates)),
                ]
            ),
            MetricFamily(
                "adtrack_dead_letter_records_total",
                .counter,
                help: "Records that could not be used, by reason.",
                Damage.Reason.allCases.map {
                    .init([("reason", $0.rawValue)], .integer(books.deadLetters[$0] ?? 0))
                }
            ),
            MetricFamily(
                self.failures,
                .counter,
                help: "Attempts that failed and were made again, by what failed.",
                ConsumerBooks.Part.allCases.map {
                    .init([("part", $0.rawValue)], .integer(books.failures[$0] ?? 0))
                }
            ),
            MetricFamily(
                self.lag,
                .gauge,
                help: "Age of the oldest record that is not stored; 0 when all are.",
                [.init([], .number(books.lag(at: StreamProgress.now())))]
            ),
        ]
    }
}
