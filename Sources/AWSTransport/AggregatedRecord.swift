/// Several records as one of Kinesis, in the KPL's format ("KPL Aggregated Record Format", `aggregation-format.md` of
/// awslabs/amazon-kinesis-producer), which the Kinesis Client Library and AWS' de-aggregation libraries read:
///
///     F3 89 9A C2 · protobuf message AggregatedRecord · MD5 of the message
///
///     message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
///                                repeated Record records = 3; }
///     message Record { uint64 partition_key_index = 1; uint64 explicit_hash_key_index = 2; bytes data = 3; }
///
/// Readers throw away records whose key belongs to another shard than the one they were read from. So every record here
/// carries the first one's hash as its explicit hash key, which is where Kinesis puts the whole.
public struct AggregatedRecord: Sendable {
    private static let magic: [UInt8] = [0xf3, 0x89, 0x9a, 0xc2]
    private static let digestBytes = 16

    /// Of the whole, partition key included; the KPL's own default is 50 KiB (`AggregationMaxSize`).
    private let maximumBytes: Int
    private var message: [UInt8] = []
    /// The first record's key: the partition key of the whole.
    public private(set) var partitionKey: [UInt8] = []
    public private(set) var count = 0

    public init(maximumBytes: Int = 51_200) { self.maximumBytes = maximumBytes }

    /// With everything that ``finish()`` adds.
    public var bytes: Int {
        self.partitionKey.count + Self.magic.count + self.message.count + Self.digestBytes
    }

    /// - Parameter key: UTF-8.
    /// - Returns: false, without a change, where the bound would be passed. A first record is always taken: whether it
    ///   is too large for Kinesis, ``PutRecordsBody`` decides.
    public mutating func append(data: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> Bool {
        let before = self.message.count
        if self.count == 0 {
            self.partitionKey = Array(key)
            self.message.appendField(2, Array(String(MD5.number(key)).utf8))
        }
        self.message.appendField(1, key)
        var record: [UInt8] = [1 << 3]
        record.appendVarint(UInt64(self.count))
        record += [2 << 3, 0, 3 << 3 | 2]
        record.appendVarint(UInt64(data.count))
        self.message.append(3 << 3 | 2)
        self.message.appendVarint(UInt64(record.count + data.count))
        self.message += record
        self.message.append(contentsOf: data)
        guard self.count == 0 || self.bytes <= self.maximumBytes else {
            self.message.removeLast(self.message.count - before)
            return false
        }
        self.count += 1
        return true
    }

    /// The data of the one record to put, under ``partitionKey``.
    public func finish() -> [UInt8] {
        Self.magic + self.message + self.message.withUnsafeBytes { MD5.digest($0) }
    }
}

extension [UInt8] {
    fileprivate mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest > 0x7f {
            self.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.append(UInt8(truncatingIfNeeded: rest))
    }

    /// A length-delimited field; its number is below 16.
    fileprivate mutating func appendField(_ number: UInt8, _ bytes: some Collection<UInt8>) {
        self.append(number << 3 | 2)
        self.appendVarint(UInt64(bytes.count))
        self.append(contentsOf: bytes)
    }
}
