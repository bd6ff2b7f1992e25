/// Some records that follow each other, in memory for as long as the slice lives.
public struct JournalSlice: Sendable {
    struct Entry: Sendable {
        /// Of the record's header in the memory.
        var offset: Int
    }

    /// Keeps the memory; a chunk of fresh batches or what was read from disk.
    enum Memory: Sendable {
        case chunk(RecentBatches.Chunk)
        case copy(RecordCopy)

        var base: UnsafeMutableRawPointer {
            switch self {
            case .chunk(let chunk): chunk.base
            case .copy(let copy): copy.base
            }
        }
    }

    let memory: Memory
    private(set) var entries: [Entry] = []
    /// The sequence of the first record.
    public let firstSequence: UInt64
    /// Of the records alone.
    public private(set) var bytes = 0
    /// When the first record was committed: milliseconds since the Unix epoch.
    public let milliseconds: UInt64

    public var count: Int { self.entries.count }
    /// What to acknowledge when all of them are delivered: the sequence after the last.
    public var endSequence: UInt64 { self.firstSequence + UInt64(self.entries.count) }

    init(_ memory: Memory, first: UInt64, milliseconds: UInt64) {
        self.memory = memory
        self.firstSequence = first
        self.milliseconds = milliseconds
    }

    mutating func add(_ offset: Int, length: Int) {
        self.entries.append(Entry(offset: offset))
        self.bytes += length
    }

    /// Calls `body` with each record in turn; its memory is good inside of the call only.
    public func visit<Failure: Error>(_ body: (JournalRecord) throws(Failure) -> Void) throws(Failure) {
        for index in self.entries.indices { try body(self.record(index)) }
    }

    /// - Parameter index: below ``count``.
    public func withRecord<R, Failure: Error>(
        at index: Int,
        _ body: (JournalRecord) throws(Failure) -> R
    ) throws(Failure) -> R {
        try body(self.record(index))
    }

    private func record(_ index: Int) -> JournalRecord {
        JournalRecord(
            at: UnsafeRawPointer(self.memory.base + self.entries[index].offset),
            sequence: self.firstSequence + UInt64(index)
        )
    }
}

/// One record, borrowed.
public struct JournalRecord {
    public let sequence: UInt64
    public let bytes: UnsafeRawBufferPointer
    /// The partition key; a part of the bytes.
    public let key: UnsafeRawBufferPointer

    /// Where the partition key lies in the bytes.
    public var keyRange: Range<Int> {
        guard let start = self.key.baseAddress, let base = self.bytes.baseAddress else { return 0..<0 }
        let offset = start - base
        return offset..<offset + self.key.count
    }

    init(sequence: UInt64, bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) {
        self.sequence = sequence
        self.bytes = bytes
        self.key = key
    }

    init(at place: UnsafeRawPointer, sequence: UInt64) {
        let length = Int(place.little(0, as: UInt32.self))
        let keyStart = min(Int(place.little(4, as: UInt16.self)), length)
        let keyEnd = min(keyStart + Int(place.little(6, as: UInt16.self)), length)
        self.sequence = sequence
        self.bytes = UnsafeRawBufferPointer(start: place + JournalFormat.recordHeaderBytes, count: length)
        self.key = UnsafeRawBufferPointer(rebasing: self.bytes[keyStart..<keyEnd])
    }
}

/// Records read from disk.
///
/// `@unchecked Sendable`: the bytes are written before anyone else sees them, and never again.
final class RecordCopy: @unchecked Sendable {
    let base: UnsafeMutableRawPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.base = .allocate(byteCount: max(bytes.count, 1), alignment: 16)
        if let source = bytes.baseAddress { self.base.copyMemory(from: source, byteCount: bytes.count) }
    }

    deinit { self.base.deallocate() }
}

/// Walks the records of one frame.
struct RecordWalk {
    private let records: UnsafeRawBufferPointer
    private(set) var offset = 0

    init(_ records: UnsafeRawBufferPointer) {
        self.records = records
    }

    /// The next record's offset and length, nil at the end or where the bytes make no sense.
    mutating func next() -> (offset: Int, length: Int)? {
        let start = self.offset
        guard start + JournalFormat.recordHeaderBytes <= self.records.count, let base = self.records.baseAddress
        else { return nil }
        let length = Int((base + start).little(0, as: UInt32.self))
        guard length <= self.records.count - start - JournalFormat.recordHeaderBytes else { return nil }
        self.offset = start + JournalFormat.recordHeaderBytes + length
        return (start, length)
    }
}
