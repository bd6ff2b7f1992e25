/// Why a call has no result.
public enum AWSCallFailure: Error, Sendable, Hashable {
    case refused(AWSError)
    case failed(TransportFailure)
    /// The answer has this status and is not what the API gives.
    case unreadable(status: Int)
}

/// Where a shard is read from.
public enum ShardPosition: Sendable, Hashable {
    case oldest
    /// What comes from now on.
    case newest
    case at(sequenceNumber: String)
    case after(sequenceNumber: String)
    /// Seconds since the Unix epoch.
    case time(Double)
}

public struct KinesisRecord: Sendable, Hashable {
    public var sequenceNumber = ""
    public var partitionKey = ""
    public var data: [UInt8] = []
    /// When Kinesis took it: seconds since the Unix epoch.
    public var arrival = 0.0

    public init() {}
}

public struct KinesisRecords: Sendable, Hashable {
    public var records: [KinesisRecord] = []
    /// nil when the shard was closed and this was its end.
    public var nextIterator: String?
    public var millisecondsBehindLatest = 0

    public init() {}
}

public struct StreamSummary: Sendable, Hashable {
    /// `ACTIVE`, `CREATING`, `UPDATING` or `DELETING`.
    public var status = ""
    public var openShards = 0
    public var arn = ""

    public init() {}
}

extension KinesisClient {
    /// As many pages of 1,000 as `ListShards` may need; AWS' own quota of shards is below 100,000.
    private static let maximumPages = 100

    /// All shards of a stream, closed ones whose records are still kept included.
    public func listShards(_ stream: String) async throws(AWSCallFailure) -> [Shard] {
        var shards: [Shard] = []
        var token: String?
        for _ in 0..<Self.maximumPages {
            // The first page is asked for by name, the others by token alone.
            let body = token.map { Self.object([("NextToken", $0)]) } ?? Self.object([Self.name(stream)])
            let page = try await self.read("ListShards", body) { reader throws(JSONFault) in
                try ShardPage(&reader)
            }
            shards += page.shards
            token = page.nextToken
            if token == nil { return shards }
        }
        throw .unreadable(status: 200)
    }

    public func describeStreamSummary(_ stream: String) async throws(AWSCallFailure) -> StreamSummary {
        try await self.read("DescribeStreamSummary", Self.object([Self.name(stream)])) { reader throws(JSONFault) in
            var summary = StreamSummary()
            try reader.object { reader, key throws(JSONFault) in
                guard key == "StreamDescriptionSummary" else { return try reader.skip() }
                try reader.object { reader, key throws(JSONFault) in
                    switch key {
                    case "StreamStatus": summary.status = try reader.string()
                    case "OpenShardCount": summary.openShards = try reader.integer()
                    case "StreamARN": summary.arn = try reader.string()
                    default: try reader.skip()
                    }
                }
            }
            return summary
        }
    }

    /// - Returns: an iterator, good for five minutes.
    public func getShardIterator(
        _ stream: String,
        shard: String,
        from position: ShardPosition
    ) async throws(AWSCallFailure) -> String {
        var fields = [Self.name(stream), ("ShardId", shard)]
        var time: Double?
        switch position {
        case .oldest: fields.append(("ShardIteratorType", "TRIM_HORIZON"))
        case .newest: fields.append(("ShardIteratorType", "LATEST"))
        case .at(let number):
            fields += [("ShardIteratorType", "AT_SEQUENCE_NUMBER"), ("StartingSequenceNumber", number)]
        case .after(let number):
            fields += [("ShardIteratorType", "AFTER_SEQUENCE_NUMBER"), ("StartingSequenceNumber", number)]
        case .time(let seconds):
            fields.append(("ShardIteratorType", "AT_TIMESTAMP"))
            time = seconds
        }
        let body = Self.object(fields, number: time.map { ("Timestamp", "\($0)") })
        let iterator = try await self.read("GetShardIterator", body) { reader throws(JSONFault) in
            var iterator: String?
            try reader.object { reader, key throws(JSONFault) in
                if key == "ShardIterator" { iterator = try reader.optionalString() } else { try reader.skip() }
            }
            return iterator
        }
        guard let iterator else { throw .unreadable(status: 200) }
        return iterator
    }

    /// - Parameter limit: records at most, 1...10,000.
    public func getRecords(_ iterator: String, limit: Int = 10_000) async throws(AWSCallFailure) -> KinesisRecords {
        let body = Self.object([("ShardIterator", iterator)], number: ("Limit", "\(min(max(limit, 1), 10_000))"))
        return try await self.read("GetRecords", body) { reader throws(JSONFault) in try KinesisRecords(&reader) }
    }

    private func read<Value>(
        _ operation: String,
        _ body: RequestBody,
        _ parse: (inout JSONReader) throws(JSONFault) -> Value
    ) async throws(AWSCallFailure) -> Value {
        switch await self.call(operation, body) {
        case .failed(let failure): throw .failed(failure)
        case .answered(let response):
            guard response.status == 200 else {
                guard let error = AWSError(response) else { throw .unreadable(status: response.status) }
                throw .refused(error)
            }
            var reader = JSONReader(response.body)
            do {
                let value = try parse(&reader)
                try reader.end()
                return value
            } catch { throw .unreadable(status: 200) }
        }
    }

    private static func name(_ stream: String) -> (String, String) {
        (stream.hasPrefix("arn:") ? "StreamARN" : "StreamName", stream)
    }

    /// A JSON object of texts, and one number.
    private static func object(_ fields: [(String, String)], number: (String, String)? = nil) -> RequestBody {
        var json = BodyBuffer(capacity: 512)
        json.append("{")
        for (index, field) in fields.enumerated() {
            if index > 0 { json.append(",") }
            json.appendJSONString(field.0)
            json.append(":")
            json.appendJSONString(field.1)
        }
        if let number {
            json.append(",")
            json.appendJSONString(number.0)
            json.append(":")
            json.append(contentsOf: number.1.utf8)
        }
        json.append("}")
        return RequestBody(json.release())
    }
}

/// One page of `ListShards`.
private struct ShardPage {
    private(set) var shards: [Shard] = []
    private(set) var nextToken: String?

    init(_ reader: inout JSONReader) throws(JSONFault) {
        var shards: [Shard] = []
        var token: String?
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "NextToken": token = try reader.optionalString()
            case "Shards":
                try reader.array { reader throws(JSONFault) in shards.append(try Self.shard(&reader)) }
            default: try reader.skip()
            }
        }
        (self.shards, self.nextToken) = (shards, token)
    }

    private static func shard(_ reader: inout JSONReader) throws(JSONFault) -> Shard {
        var shard = Shard(id: "", hashKeys: 0...0)
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "ShardId": shard.id = try reader.string()
            case "ParentShardId": shard.parentID = try reader.optionalString()
            case "AdjacentParentShardId": shard.adjacentParentID = try reader.optionalString()
            case "HashKeyRange": shard.hashKeys = try Self.range(&reader)
            case "SequenceNumberRange":
                try reader.object { reader, key throws(JSONFault) in
                    guard key == "EndingSequenceNumber" else { return try reader.skip() }
                    shard.isOpen = try reader.optionalString() == nil
                }
            default: try reader.skip()
            }
        }
        guard !shard.id.isEmpty else { throw reader.fault }
        return shard
    }

    private static func range(_ reader: inout JSONReader) throws(JSONFault) -> ClosedRange<UInt128> {
        var start: UInt128?
        var end: UInt128?
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "StartingHashKey": start = UInt128(try reader.string())
            case "EndingHashKey": end = UInt128(try reader.string())
            default: try reader.skip()
            }
        }
        guard let start, let end, start <= end else { throw reader.fault }
        return start...end
    }
}

extension KinesisRecords {
    fileprivate init(_ reader: inout JSONReader) throws(JSONFault) {
        var answer = KinesisRecords()
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "NextShardIterator": answer.nextIterator = try reader.optionalString()
            case "MillisBehindLatest": answer.millisecondsBehindLatest = try reader.integer()
            case "Records":
                try reader.array { reader throws(JSONFault) in answer.records.append(try KinesisRecord(&reader)) }
            default: try reader.skip()
            }
        }
        self = answer
    }
}

extension KinesisRecord {
    fileprivate init(_ reader: inout JSONReader) throws(JSONFault) {
        var record = KinesisRecord()
        var data: [UInt8]?
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "SequenceNumber": record.sequenceNumber = try reader.string()
            case "PartitionKey": record.partitionKey = try reader.string()
            case "Data": data = Base64.decode(try reader.plainString())
            case "ApproximateArrivalTimestamp": record.arrival = try reader.decimal()
            default: try reader.skip()
            }
        }
        guard let data, !record.sequenceNumber.isEmpty else { throw reader.fault }
        record.data = data
        self = record
    }
}
