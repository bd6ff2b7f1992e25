/// What became of one record of a `PutRecords`.
public enum RecordOutcome: Sendable, Hashable {
    /// - Parameter sequenceNumber: 56 digits, larger than any machine integer.
    case delivered(shardID: String, sequenceNumber: String)
    /// `ProvisionedThroughputExceededException`: its shard has no room at the moment.
    case throttled
    /// Any other error code, as `InternalFailure`.
    case failed(code: String)
}

/// What became of a call.
public enum PutRecordsResult: Sendable {
    /// One outcome for each record, in the order of the request.
    case records([RecordOutcome])
    /// AWS refused the call: nothing is stored.
    case refused(AWSError)
    /// The request never went out: nothing is stored.
    case notSent(TransportFailure)
    /// Any, all or none of the records may be stored.
    case unknown(Unknown)

    /// Why nothing is known.
    public enum Unknown: Sendable, Hashable {
        /// The request went out and no whole answer came back.
        case failed(TransportFailure)
        /// The server says that it failed: what it had done by then it does not say.
        case serverError(AWSError)
        /// The answer has this status and is not what the API gives.
        case unreadable(status: Int)
        /// The answer has another number of records than the request.
        case recordCount(expected: Int, found: Int)
        /// The answer's count of failures is not that of its records.
        case failureCount(stated: Int, found: Int)
    }
}

/// The body of a successful answer to `PutRecords`.
struct PutRecordsAnswer {
    private(set) var outcomes: [RecordOutcome] = []
    private var statedFailures: Int?
    private var hasRecords = false
    /// Shard ids that were seen, of which there are few: they are not made anew for each record.
    private var knownShards: [String] = []

    private static let throttled = "ProvisionedThroughputExceededException"

    /// - Parameter expected: records of the request.
    static func read(_ body: [UInt8], expected: Int) -> PutRecordsResult {
        var answer = PutRecordsAnswer()
        answer.outcomes.reserveCapacity(expected)
        do { try answer.readDocument(body) } catch { return .unknown(.unreadable(status: 200)) }
        guard answer.outcomes.count == expected else {
            return .unknown(.recordCount(expected: expected, found: answer.outcomes.count))
        }
        let failures = answer.outcomes.reduce(0) { count, outcome in
            if case .delivered = outcome { count } else { count + 1 }
        }
        if let stated = answer.statedFailures, stated != failures {
            return .unknown(.failureCount(stated: stated, found: failures))
        }
        return .records(answer.outcomes)
    }

    private mutating func readDocument(_ body: [UInt8]) throws(JSONFault) {
        var reader = JSONReader(body)
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "FailedRecordCount":
                guard self.statedFailures == nil else { throw reader.fault }
                if try !reader.takesNull() { self.statedFailures = try reader.integer() }
            case "Records":
                guard !self.hasRecords else { throw reader.fault }
                self.hasRecords = true
                try reader.array { reader throws(JSONFault) in self.outcomes.append(try self.readRecord(&reader)) }
            default: try reader.skip()
            }
        }
        try reader.end()
        if !self.hasRecords { throw reader.fault }
    }

    /// A record has either a shard and a sequence number, or an error code: with both or neither it says nothing.
    private mutating func readRecord(_ reader: inout JSONReader) throws(JSONFault) -> RecordOutcome {
        var shard: String?
        var sequence: String?
        var code: String?
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "ShardId": try self.readOnce(&shard, &reader)
            case "SequenceNumber": try self.readOnce(&sequence, &reader)
            case "ErrorCode": try self.readOnce(&code, &reader)
            default: try reader.skip()
            }
        }
        if let code, shard == nil, sequence == nil { return code == Self.throttled ? .throttled : .failed(code: code) }
        guard let shard, let sequence, code == nil else { throw reader.fault }
        return .delivered(shardID: self.shared(shard), sequenceNumber: sequence)
    }

    private func readOnce(_ place: inout String?, _ reader: inout JSONReader) throws(JSONFault) {
        guard place == nil, let text = try reader.optionalString() else {
            if place != nil { throw reader.fault }
            return
        }
        guard !text.isEmpty else { throw reader.fault }
        place = text
    }

    private mutating func shared(_ shard: String) -> String {
        if let known = self.knownShards.first(where: { $0 == shard }) { return known }
        if self.knownShards.count < 64 { self.knownShards.append(shard) }
        return shard
    }
}
