/// What a consumer does with records: rows into a table, programs into Redis.
public protocol RecordHandler: Sendable {
    associatedtype Item: Sendable

    /// Whether an item must not be stored before one that stands before it. Rows are each their own; of two changes of
    /// one program without versions the later one counts.
    var isOrdered: Bool { get }

    /// What the record means; without I/O.
    func item(of record: StreamRecord) throws(Damage) -> Item

    /// When the item came to be, in milliseconds since the epoch; nil where it doesn't say.
    func time(of item: Item) -> Int64?

    /// Stores all items and the checkpoints, or throws, or refuses some.
    ///
    /// It may be called again with items that are stored already: they are duplicates.
    func store(_ items: [Item], checkpoints: [Checkpoint]) async throws(StreamFailure) -> StoreResult
}

extension RecordHandler {
    public var isOrdered: Bool { false }
}

/// What became of items.
public enum StoreResult: Sendable, Equatable {
    /// - Parameters:
    ///   - stored: had not been there.
    ///   - duplicates: were there already, or something newer.
    case stored(Int, duplicates: Int)
    /// Nothing was stored, by the items' places why not; without them it may go through.
    case refused([Int: Damage])
    /// All others were stored, the checkpoints not yet.
    case partly(Int, duplicates: Int, refused: [Int: Damage])
}
