/// How durable, how large and how patient a journal is.
public struct JournalConfiguration: Sendable {
    /// What an answer waits for.
    public enum Durability: String, Sendable, CaseIterable {
        /// The event is on disk: survives a power cut.
        case fsync
        /// The event is with the operating system: survives the end of the process; a power cut takes at most
        /// ``JournalConfiguration/syncInterval``.
        case write
        /// Nothing: what the writer has not taken yet is lost with the process.
        case memory
    }

    /// What happens to a new event when the journal holds ``JournalConfiguration/maxBytes``, or the disk is full.
    public enum FullPolicy: String, Sendable, CaseIterable {
        /// It is refused.
        case reject
        /// The oldest segment goes, what was undelivered in it is counted as dropped. A full disk refuses.
        case dropOldest = "drop_oldest"
        /// It is answered as if recorded, and counted as dropped.
        case answerUnrecorded = "answer_unrecorded"
    }

    /// Made with mode 0700 where it is missing.
    public var directory: String
    /// Of all segment files together, spare ones included; at least 256 KiB.
    public var maxBytes: Int = 1 << 30
    /// Space to leave on the disk: no new file is made below it.
    public var minFreeBytes: Int = 0
    public var whenFull: FullPolicy = .reject
    public var durability: Durability = .fsync
    /// Of one segment file; at most a quarter of ``maxBytes``, at least 64 KiB.
    public var segmentBytes: Int = 16 << 20
    /// Of one frame: what a damaged byte can cost.
    public var batchBytes: Int = 1 << 20
    /// What one event loop may hold while the disk is busy; beyond it events are refused as overload.
    public var queueBytes: Int = 8 << 20
    /// Of freshly committed events kept in memory for the sinks.
    public var ringBytes: Int = 16 << 20
    /// In milliseconds: how long `write` leaves an event without a sync.
    public var syncInterval: Int = 50
    /// In milliseconds: a commit that takes longer fails its batch as unavailable.
    public var commitTimeout: Int = 2_000
    /// In milliseconds: how often acknowledged positions are saved.
    public var cursorInterval: Int = 1_000
    /// Of damaged bytes kept aside.
    public var quarantineBytes: Int = 64 << 20

    public init(directory: String) {
        self.directory = directory
    }

    /// ``segmentBytes`` within its limits, a multiple of the block.
    var effectiveSegmentBytes: Int {
        let wanted = min(self.segmentBytes, self.maxBytes / 4, Int(UInt32.max) - JournalFormat.block)
        return max(wanted, 64 << 10) / JournalFormat.block * JournalFormat.block
    }

    /// Of a segment that someone waits for while it is made, as the start does for the first of a life.
    var firstSegmentBytes: Int { min(self.effectiveSegmentBytes, 4 << 20) }

    /// ``batchBytes`` within what the smallest segment can take.
    var effectiveBatchBytes: Int {
        max(1024, min(self.batchBytes, self.firstSegmentBytes - 2 * JournalFormat.block))
    }
}
