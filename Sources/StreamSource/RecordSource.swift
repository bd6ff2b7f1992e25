/// A stream that records are read from. One consumer drives it, a call after the other.
public protocol RecordSource: Sendable {
    /// As checkpoints, dead letters and logs name it; the same after a restart, and without secrets.
    var name: String { get }

    /// The next records, waiting at most about a quarter of a second for the first.
    ///
    /// - Returns: an empty batch where none came; nil where none will ever come.
    func next(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch?

    /// Everything of the batch is stored or dead-lettered. Called again after it threw.
    func commit(_ batch: RecordBatch) async throws(StreamFailure)

    /// Gives back what others may wait for; nothing is read afterwards.
    func close() async
}

/// The bounds of a batch.
public struct BatchLimit: Sendable, Equatable {
    public var records: Int
    /// Of the records' bytes; a single larger record is a batch of its own.
    public var bytes: Int

    public init(records: Int = 500, bytes: Int = 5 << 20) {
        self.records = records
        self.bytes = bytes
    }
}

/// Keeps how far sources are read.
public protocol CheckpointStore: Sendable {
    /// The positions of a source's parts as they were stored last.
    func positions(of source: String) async throws -> [String: String]
}

/// Something outside did not do what it was asked and may do it later: a disk, a server.
public struct StreamFailure: Error, Sendable, CustomStringConvertible {
    /// One sentence without secrets.
    public let description: String

    public init(_ description: String) { self.description = description }
}
