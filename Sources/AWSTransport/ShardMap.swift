/// A shard as `ListShards` describes it.
public struct Shard: Sendable, Hashable {
    public var id: String
    /// The MD5 numbers of the partition keys that it takes.
    public var hashKeys: ClosedRange<UInt128>
    /// The shard that was split, or one of the two that were merged into this one.
    public var parentID: String?
    /// The other of the two.
    public var adjacentParentID: String?
    /// Whether records can still be put into it.
    public var isOpen: Bool

    public init(id: String, hashKeys: ClosedRange<UInt128>, isOpen: Bool = true) {
        self.id = id
        self.hashKeys = hashKeys
        self.isOpen = isOpen
    }
}

/// Partition key → shard, for the open shards of a stream. A stream that is resharded meanwhile makes it wrong, not
/// harmful: it only says which shard a throttled record was probably for.
public struct ShardMap: Sendable, Hashable {
    private let shards: [Shard]

    public init(_ shards: [Shard]) {
        self.shards = shards.filter(\.isOpen).sorted { $0.hashKeys.lowerBound < $1.hashKeys.lowerBound }
    }

    public var count: Int { self.shards.count }

    /// - Returns: nil where no shard takes the key.
    public func shardID(of partitionKey: UnsafeRawBufferPointer) -> String? {
        let number = MD5.number(partitionKey)
        var range = self.shards.startIndex..<self.shards.endIndex
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            let keys = self.shards[middle].hashKeys
            if keys.contains(number) { return self.shards[middle].id }
            range = number < keys.lowerBound ? range.lowerBound..<middle : (middle + 1)..<range.upperBound
        }
        return nil
    }
}
