/// What a journal can do for the next event.
public enum JournalState: String, Sendable, CaseIterable {
    case ok
    /// More than four fifths of the bound.
    case high
    /// The bound or the disk is full.
    case full
    /// The disk fails.
    case failed
}

/// Why an event is not taken.
public enum JournalRefusal: String, Sendable, CaseIterable, Error {
    /// The bound, the disk or its inodes.
    case full
    /// Writing or syncing fails, or hangs.
    case unavailable
    /// More waits for the disk than may.
    case overloaded
}

/// The figures of one instant: `appended == acknowledged + pending + dropped` in every snapshot.
public struct JournalBooks: Sendable, Equatable {
    /// Committed in this life, and what its start recovered.
    public var appended: UInt64 = 0
    /// Delivered by every sink.
    public var acknowledged: UInt64 = 0
    /// Not yet delivered by every sink.
    public var pending: UInt64 = 0
    /// Left out or given up because of the bound.
    public var droppedAtBound: UInt64 = 0
    /// Damaged on disk.
    public var droppedAsCorrupt: UInt64 = 0
    /// Of records and frames in the segments.
    public var bytes: Int = 0
    public var maxBytes: Int = 0
    public var state: JournalState = .ok
    public var syncs: UInt64 = 0
    public var syncErrors: UInt64 = 0
    public var sinks: [SinkPosition] = []

    public var dropped: UInt64 { self.droppedAtBound &+ self.droppedAsCorrupt }

    public struct SinkPosition: Sendable, Equatable {
        public var name: String
        /// The first event that this sink has not acknowledged.
        public var nextSequence: UInt64
        /// Acknowledged in this life, and taken by the sink.
        public var delivered: UInt64
        /// Acknowledged in this life, and refused by the sink.
        public var quarantined: UInt64
        public var pending: UInt64
        /// When the oldest event it has not acknowledged was committed, give or take 250 ms: milliseconds since the epoch.
        public var oldestPendingMilliseconds: UInt64?
    }
}
