import FoundationEssentials
public import TrackingModel

/// A record that nobody could use, as it is kept for people.
public struct DeadLetter: Sendable, Equatable {
    /// The name of the source it was read from.
    public var source: String
    public var record: StreamRecord
    public var damage: Damage
    /// When it was given up.
    public var time: Timestamp

    public init(source: String, record: StreamRecord, damage: Damage, time: Timestamp) {
        self.source = source
        self.record = record
        self.damage = damage
        self.time = time
    }

    /// In the order in which people read them.
    var fields: [(name: String, value: String)] {
        [
            ("reason", self.damage.reason.rawValue), ("origin", self.record.origin), ("time", self.time.rfc3339),
            ("record", Data(self.record.bytes).base64EncodedString()), ("detail", self.damage.sentence),
            ("source", self.source),
        ]
    }

    /// Which letter it is: the same record of the same source is kept once, however often it is read.
    var identity: String {
        var hash = FNV1a()
        hash.add(self.record.bytes)
        return "\(self.source) \(self.record.origin) \(String(hash.value, radix: 16))"
    }
}

/// Where dead letters go.
public protocol DeadLetterPlace: Sendable {
    /// Returns when all of them are kept; those that were kept before are not kept twice.
    func keep(_ letters: [DeadLetter]) async throws(StreamFailure)
}

/// The 64-bit hash of Fowler, Noll and Vo (draft-eastlake-fnv), for telling records apart.
struct FNV1a {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { self.value = (self.value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
}
