import EventJournal
import HTTPIngress
import Telemetry
import TrackingModel

/// The pages of the management port. Whatever has to add up is read in one go.
struct Management: Sendable {
    let tracking: [HTTPVerticle]
    let journal: EventJournal
    let readiness: Readiness
    let registry: MetricsRegistry

    var routes: [Route] {
        [
            Route("/metrics", handler: .deferred { await self.metrics() }),
            Route("/ledger", handler: .deferred { await self.ledger() }),
            Self.ready(self.readiness),
        ]
    }

    static func ready(_ readiness: Readiness) -> Route {
        Route(
            "/health/ready",
            label: .healthReady,
            handler: .immediate {
                let missing = readiness.missing
                var text = JSONText()
                text.beginObject()
                text.field("ready", missing.isEmpty)
                if !missing.isEmpty { text.field("missing", missing) }
                text.endObject()
                return Answer(status: missing.isEmpty ? 200 : 503, body: text.bytes)
            }
        )
    }

    static var alive: Route {
        Route(
            "/health/check",
            label: .healthCheck,
            handler: .immediate {
                Answer(status: 200, body: Array(#"{"status":"up"}"#.utf8))
            }
        )
    }

    // MARK: Books

    private func snapshots() async -> [HTTPVerticle.Snapshot] {
        var snapshots: [HTTPVerticle.Snapshot] = []
        for verticle in self.tracking { snapshots.append(await verticle.snapshot()) }
        return snapshots
    }

    private func ledger() async -> Answer {
        let books = await self.snapshots().map(\.books).reduce(RequestBooks(), +)
        let journal = self.journal.books
        var text = JSONText()
        text.beginObject()
        text.field("received", Int64(clamping: books.received))
        text.field("accepted", Int64(clamping: books.accepted))
        text.key("rejected")
        text.beginObject()
        for (reason, count) in books.rejected { text.field(reason, Int64(clamping: count)) }
        text.endObject()
        text.field("unavailable", Int64(clamping: books.unavailable))
        text.field("shed", Int64(clamping: books.shed))
        text.key("journal")
        text.beginObject()
        text.field("appended", Int64(clamping: journal.appended))
        text.field("acknowledged", Int64(clamping: journal.acknowledged))
        text.field("pending", Int64(clamping: journal.pending))
        text.field("dropped", Int64(clamping: journal.dropped))
        text.endObject()
        text.key("sinks")
        text.beginObject()
        for sink in journal.sinks {
            text.key(sink.name)
            text.beginObject()
            text.field("delivered", Int64(clamping: sink.delivered))
            text.field("quarantined", Int64(clamping: sink.quarantined))
            text.endObject()
        }
        text.endObject()
        text.endObject()
        return Answer(status: 200, body: text.bytes)
    }

    private func metrics() async -> Answer {
        let snapshots = await self.snapshots()
        let families =
            await self.registry.families() + HotPathMetrics.families(snapshots)
            + JournalMetrics.families(self.journal.books)
        return Answer(status: 200, contentType: PrometheusText.contentType, body: PrometheusText.render(families))
    }
}
