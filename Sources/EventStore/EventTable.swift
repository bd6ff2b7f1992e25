public import StreamSource

/// A table with one row per message id. A row that is there is never overwritten.
public protocol EventTable: RecordHandler where Item == EventRow {}

extension EventTable {
    public func item(of record: StreamRecord) throws(Damage) -> EventRow { try EventRow(record) }

    public func time(of item: EventRow) -> Int64? { item.time > 0 ? item.time : nil }
}
