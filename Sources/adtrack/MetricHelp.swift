/// What each metric means, as the page's HELP lines say it.
enum MetricHelp {
    static let texts: [String: String] = [
        "adtrack_redis_commands_total": "Commands sent to Redis, by how they ended.",
        "adtrack_redis_connection_failures_total": "Connections to Redis that ended or never began, by reason.",
        "adtrack_core_data_updates_total":
            "Changes of core data as the event loops saw them, and messages that were none.",
        "adtrack_journal_sync_seconds": "How long the journal's syncs took.",
        "adtrack_sink_records_total": "Records by sink and by what became of them.",
        "adtrack_sink_attempts_total": "Attempts of a sink, by whether it was answered.",
        "adtrack_quarantine_dropped_records_total":
            "Records that sinks refused and that went from the quarantine at its bound.",
        "adtrack_sink_rested_seconds_total": "Time in which a sink that catches up left the processor to answers.",
        "adtrack_sink_oldest_event_age_seconds": "Age of the oldest event that the sink has not acknowledged.",
        "adtrack_sink_breaker_state": "0: closed, 1: half open, 2: open.",
    ]
}
