public import StreamSource
public import TrackingModel

extension EventReport {
    /// Counts a table's items; it reads the whole table (eventually consistent).
    public init(
        dynamoDB calls: DynamoDBCalls,
        table: String,
        by trait: Trait,
        since: Timestamp?
    ) async throws(StreamFailure) {
        let attribute =
            switch trait {
            case .program: "program_id"
            case .type: "event_type"
            case .hour: "time"
            }
        var counts: [String: Int64] = [:]
        try await calls.scan(table, attributes: trait == .hour ? ["time"] : [attribute, "time"]) { item in
            // Items that the replaced system wrote have no time.
            let time = item["time"].flatMap { Int64($0) } ?? 0
            if let since, time < since.milliseconds { return }
            let key = trait == .hour ? Self.key(hours: time / Self.hourMilliseconds) : item[attribute] ?? ""
            counts[key, default: 0] += 1
        }
        self.init(trait: trait, counts: counts)
    }
}
