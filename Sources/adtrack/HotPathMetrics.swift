import HTTPIngress
import ProgramCache
import Telemetry

/// What the event loops count for themselves, summed when somebody looks.
enum HotPathMetrics {
    static func families(_ snapshots: [HTTPVerticle.Snapshot]) -> [MetricFamily] {
        let books = snapshots.map(\.books).reduce(RequestBooks(), +)
        func sum(_ count: (HTTPVerticle.Snapshot) -> UInt64) -> UInt64 { snapshots.map(count).reduce(0, &+) }
        return [
            MetricFamily(
                "adtrack_requests_total",
                .counter,
                help: "Requests on the public port, by route and result.",
                books.series.map { .init([("route", $0.route), ("result", $0.result)], .integer($0.count)) }
            ),
            MetricFamily(
                "adtrack_request_duration_seconds",
                .histogram,
                help: "From an accepted request's arrival to its event's being as durable as the configuration says.",
                [
                    .init(
                        [],
                        .histogram(
                            bounds: DurationHistogram.bounds,
                            buckets: books.durations.buckets,
                            sum: Double(books.durations.nanoseconds) / 1e9
                        )
                    )
                ]
            ),
            MetricFamily(
                "adtrack_l1_lookups_total",
                .counter,
                help: "Look-ups in the programs held in memory, by outcome.",
                [
                    .init([("outcome", "hit")], .integer(sum { $0.lookups.hits })),
                    .init([("outcome", "stale")], .integer(sum { $0.lookups.stale })),
                    .init([("outcome", "negative")], .integer(sum { $0.lookups.negative })),
                    .init([("outcome", "miss")], .integer(sum { $0.lookups.misses })),
                ]
            ),
            MetricFamily(
                "adtrack_l1_entries",
                .gauge,
                help: "Programs held in memory, over all event loops.",
                [.init([], .integer(sum { UInt64($0.programs) }))]
            ),
            MetricFamily(
                "adtrack_connections",
                .gauge,
                help: "Open connections on the public port.",
                [.init([], .integer(sum { UInt64($0.connections) }))]
            ),
            MetricFamily(
                "adtrack_core_data_updates_total",
                .counter,
                help: MetricHelp.texts["adtrack_core_data_updates_total"] ?? "",
                [
                    .init([("result", "applied")], .integer(sum { $0.feed.applied })),
                    .init([("result", "ignored")], .integer(sum { $0.feed.ignored })),
                ]
            ),
            MetricFamily(
                "adtrack_core_data_malformed_programs_total",
                .counter,
                help: "Programs read from Redis that can't be understood.",
                [.init([], .integer(sum { $0.feed.malformed }))]
            ),
            MetricFamily(
                "adtrack_core_data_gaps_total",
                .counter,
                help: "Changes that an event loop had missed and that were read back.",
                [.init([], .integer(sum { $0.feed.gaps }))]
            ),
        ]
    }
}
