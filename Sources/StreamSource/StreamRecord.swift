/// One record of a stream as it was read.
public struct StreamRecord: Sendable, Equatable {
    /// Where it stands in its source, as people name it: `FILE@OFFSET`, an entry id, `SHARD/SEQUENCE`, `line N`.
    public var origin: String
    public var bytes: [UInt8]
    /// Why the source itself could not take it apart; nil for a record as it should be.
    public var damage: Damage?
    /// When it entered the stream, in milliseconds since the epoch; nil where the stream doesn't say.
    public var arrived: Int64?

    public init(origin: String, bytes: [UInt8], arrived: Int64? = nil, damage: Damage? = nil) {
        self.origin = origin
        self.bytes = bytes
        self.arrived = arrived
        self.damage = damage
    }
}

/// Why a record can't be used: a word out of a closed set, which metrics count by, and a sentence.
public struct Damage: Error, Sendable, Equatable {
    public enum Reason: String, Sendable, CaseIterable {
        /// The bytes are not framed as the source frames records.
        case malformed
        /// The record is none of the kind that the stream carries.
        case undecodable
        /// An event without the id that makes it one row.
        case noMessageID = "no_message_id"
        /// A program that breaks a rule.
        case invalidProgram = "invalid_program"
        /// The table refuses it, and would refuse it again.
        case notStorable = "not_storable"
    }

    public var reason: Reason
    /// Never holds more of the record than field names.
    public var sentence: String

    public init(_ reason: Reason, _ sentence: String) {
        self.reason = reason
        self.sentence = sentence
    }
}

/// How far one part of a source (a file, a shard) is read and stored.
public struct Checkpoint: Sendable, Hashable {
    /// As ``RecordSource/name``.
    public var source: String
    public var part: String
    /// What it means is the source's business; nil forgets the part.
    public var position: String?

    public init(source: String, part: String, position: String?) {
        self.source = source
        self.part = part
        self.position = position
    }
}

/// Records that are stored together, and where reading is after them.
public struct RecordBatch: Sendable {
    public var records: [StreamRecord]
    /// Stored together with the records.
    public var checkpoints: [Checkpoint]
    /// Told back to the source when everything is stored: entry ids of Redis.
    public var receipts: [String]
    /// Whether more lay ready when this was read.
    public var isMoreReady: Bool

    public init(
        records: [StreamRecord] = [],
        checkpoints: [Checkpoint] = [],
        receipts: [String] = [],
        isMoreReady: Bool = false
    ) {
        self.records = records
        self.checkpoints = checkpoints
        self.receipts = receipts
        self.isMoreReady = isMoreReady
    }

    public var isEmpty: Bool { self.records.isEmpty && self.checkpoints.isEmpty && self.receipts.isEmpty }
}
