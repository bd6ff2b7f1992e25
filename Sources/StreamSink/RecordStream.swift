public import NIOCore

/// A stream outside that takes records by the call: what a delivery needs to know of it, and nothing of how it is spoken to.
///
/// Calls run side by side, at most ``DeliveryLimits/batchesInFlight``. A call that does not end is the stream's fault:
/// every one has a deadline.
public protocol RecordStream: Sendable {
    /// The bounds of one call; ``DeliveryMachine`` keeps them before anything is sent.
    var limits: PutLimits { get }

    /// Before the first call; need not wait for a connection.
    func start() async

    /// Runs where it is called, on the delivery's own thread, so that what a call costs is spent there as well.
    nonisolated(nonsending) func put(_ batch: RecordBatch) async -> PutOutcome

    /// Which part of the stream (a shard) a partition key falls into: throttling of one lane holds up that lane alone.
    func lane(of key: ByteBuffer) -> Int

    /// No more calls; those that run end soon.
    func stop() async
}

extension RecordStream {
    public func start() async {}
    public func lane(of key: ByteBuffer) -> Int { 0 }
    public func stop() async {}
}

/// What a stream takes at most.
public struct PutLimits: Sendable, Equatable {
    /// Of one call.
    public var records: Int
    /// Of one call: records and their partition keys together.
    public var bytes: Int
    /// Of one record and its partition key; a larger one is refused without a call.
    public var recordBytes: Int

    public init(records: Int, bytes: Int, recordBytes: Int) {
        self.records = max(1, records)
        self.bytes = max(1, bytes)
        self.recordBytes = recordBytes
    }
}

/// What became of a call.
public enum PutOutcome: Sendable, Equatable {
    /// One for each record, in the batch's order; any other number counts as unavailable.
    case answered([RecordOutcome])
    /// Nothing is known of any record: all of them are sent again.
    case unavailable(Unavailability)
    /// The stream refused the whole call because of what it held, without saying which record is to blame.
    case refused(reason: String)
}

/// Why a stream answers nothing.
public struct Unavailability: Sendable, Equatable {
    /// A closed set of words or a sentence without data from records.
    public var reason: String
    /// Only a person can mend it: a wrong name, a right that is missing. It is tried on, slowly, and said loudly.
    public var isConfigurationFault: Bool

    public init(_ reason: String, isConfigurationFault: Bool = false) {
        self.reason = reason
        self.isConfigurationFault = isConfigurationFault
    }
}

/// What became of one record of a call.
public enum RecordOutcome: Sendable, Equatable {
    case delivered
    /// Its lane takes no more at present.
    case throttled
    /// Not taken, may be taken later.
    case failed(code: String)
    /// Not taken, and never will be.
    case refused(reason: String)
}

/// Records on their way in one call.
public struct RecordBatch: Sendable, Equatable {
    /// Counts calls.
    public let number: UInt64
    public let records: [OutboundRecord]

    public init(number: UInt64, records: [OutboundRecord]) {
        self.number = number
        self.records = records
    }
}

/// A record of the journal on its way out, with memory of its own.
public struct OutboundRecord: Sendable, Equatable {
    /// In the journal.
    public let sequence: UInt64
    public private(set) var bytes: ByteBuffer
    /// Where the partition key lies in the readable bytes.
    public let keyRange: Range<Int>
    /// As the stream named it when the record was taken.
    let lane: Int
    /// How often it was sent and not taken.
    var failures = 0

    public init(sequence: UInt64, bytes: ByteBuffer, keyRange: Range<Int>, lane: Int = 0) {
        self.sequence = sequence
        self.bytes = bytes
        self.keyRange = keyRange.clamped(to: 0..<bytes.readableBytes)
        self.lane = lane
    }

    /// The partition key: the event's message id.
    public var key: ByteBuffer {
        let start = self.bytes.readerIndex + self.keyRange.lowerBound
        return self.bytes.getSlice(at: start, length: self.keyRange.count) ?? ByteBuffer()
    }

    /// What it counts against the bounds: its bytes and its key's, as streams count them.
    var cost: Int { self.bytes.readableBytes + self.keyRange.count }

    /// Lets go of the memory that it shares with those it was read with, for a record that stays longer than they do.
    mutating func detach() {
        self.bytes = ByteBuffer(bytes: self.bytes.readableBytesView)
    }
}
