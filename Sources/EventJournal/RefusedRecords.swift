import Metrics

/// A record that a sink refuses for good, and why.
public struct RefusedRecord: Sendable, Equatable {
    public var sequence: UInt64
    public var bytes: [UInt8]
    /// Where the partition key lies in the bytes.
    public var key: Range<Int>
    /// The sink's name.
    public var sink: String
    /// One sentence or a code of the sink's.
    public var reason: String
    /// When it was refused: milliseconds since the Unix epoch.
    public var milliseconds: UInt64

    public init(
        sequence: UInt64,
        bytes: [UInt8],
        key: Range<Int>,
        sink: String,
        reason: String,
        milliseconds: UInt64
    ) {
        self.sequence = sequence
        self.bytes = bytes
        self.key = key
        self.sink = sink
        self.reason = reason
        self.milliseconds = milliseconds
    }
}

/// The quarantine of a journal, as far as it holds what sinks refused: files of entries, form in ``JournalFormat``.
///
/// A file of an earlier life is never added to. All files together keep within a bound: beyond it the oldest one goes, and
/// its records are counted in `adtrack_quarantine_dropped_records_total`. Calls block on the disk.
public final class RefusedRecords: Sendable {
    private struct State {
        var current: OpenFile?
        /// Oldest first, the current one last.
        var files: [(path: String, bytes: Int)]?
        var lastNumber: UInt64 = 0
    }

    private struct OpenFile {
        var file: any JournalFile
        var used = 0
    }

    private let directory: String
    private let maxBytes: Int
    private let files: any JournalFileSystem
    private let state = Locked(State())
    private let dropped = Counter(label: "adtrack_quarantine_dropped_records_total")

    /// - Parameters:
    ///   - journal: the journal's directory; its quarantine is made with the first record.
    ///   - maxBytes: of all files together.
    public convenience init(journal: String, maxBytes: Int = 64 << 20) {
        self.init(journal: journal, maxBytes: maxBytes, files: DiskFileSystem())
    }

    init(journal: String, maxBytes: Int, files: any JournalFileSystem) {
        self.directory = JournalPaths(directory: journal).quarantine
        self.maxBytes = maxBytes
        self.files = files
        self.dropped.increment(by: 0)
    }

    /// A file is followed by another one at this size, so that what goes at the bound is an eighth of it.
    private var fileBytes: Int { max(self.maxBytes / 8, 4096) }

    /// Returns when the records survive a power cut.
    ///
    /// - Throws: what the disk says; then they are to be given again, and may be kept twice.
    public func keep(_ records: [RefusedRecord]) throws {
        try self.state.withLock { state in
            for record in records {
                let entry = RefusedEntry.encode(record)
                try self.makeRoom(&state, for: entry.count)
                try self.append(entry, &state)
            }
            do {
                try state.current?.file.sync()
            } catch {
                state.current = nil
                throw error
            }
        }
    }

    private func append(_ entry: [UInt8], _ state: inout State) throws(IOFailure) {
        let known = state.current
        // After a failure nothing is added behind what may be half an entry.
        state.current = nil
        var current: OpenFile
        if let known { current = known } else { current = try self.begin(&state) }
        try Self.write(entry, to: current)
        current.used += entry.count
        if let last = state.files?.indices.last { state.files?[last].bytes = current.used }
        if current.used >= self.fileBytes { try current.file.sync() } else { state.current = current }
    }

    private static func write(_ entry: [UInt8], to place: OpenFile) throws(IOFailure) {
        try entry.withUnsafeBufferPointer { bytes throws(IOFailure) in
            try place.file.write([UnsafeRawBufferPointer(bytes)], at: place.used)
        }
    }

    private func begin(_ state: inout State) throws(IOFailure) -> OpenFile {
        state.lastNumber += 1
        let path = self.path(state.lastNumber)
        let file = try self.files.open(path, create: true)
        try self.files.syncDirectory(self.directory)
        state.files?.append((path, 0))
        return OpenFile(file: file)
    }

    private func path(_ number: UInt64) -> String {
        "\(self.directory)/\(JournalPaths.digits(number))\(RefusedEntry.suffix)"
    }

    // MARK: The bound

    private func makeRoom(_ state: inout State, for bytes: Int) throws(IOFailure) {
        if state.files == nil { try self.survey(&state) }
        while let oldest = state.files?.first, (state.files?.count ?? 0) > 1,
            (state.files ?? []).reduce(bytes, { $0 + $1.bytes }) > self.maxBytes
        {
            let count = self.count(oldest.path)
            try self.files.remove(oldest.path)
            state.files?.removeFirst()
            self.dropped.increment(by: count)
        }
    }

    private func survey(_ state: inout State) throws(IOFailure) {
        try self.files.makeDirectory(self.directory)
        let numbers = try self.files.list(self.directory)
            .compactMap { JournalPaths.id(of: $0, suffix: RefusedEntry.suffix) }.sorted()
        state.files = numbers.map {
            (self.path($0), (try? self.files.open(self.path($0), create: false))?.sizeIfKnown ?? 0)
        }
        state.lastNumber = numbers.last ?? 0
    }

    private func count(_ path: String) -> Int {
        guard let file = try? self.files.open(path, create: false) else { return 0 }
        var count = 0
        RefusedEntry.visit(file, from: 0) { _ in count += 1 }
        return count
    }
}

/// One entry of a `.refused` file.
enum RefusedEntry {
    static let suffix = ".refused"
    static let magic: UInt32 = 0x524A_4441  // "ADJR"
    static let headerBytes = 40
    /// Of the two names in an entry, each.
    private static let nameBytes = 1024

    static func encode(_ record: RefusedRecord) -> [UInt8] {
        let sink = Array(record.sink.utf8.prefix(Self.nameBytes))
        let reason = Array(record.reason.utf8.prefix(Self.nameBytes))
        let used = Self.headerBytes + sink.count + reason.count + record.bytes.count
        var entry = [UInt8](repeating: 0, count: Self.headerBytes)
        entry.reserveCapacity(JournalFormat.padded(used))
        entry += sink
        entry += reason
        entry += record.bytes
        entry.append(contentsOf: repeatElement(0, count: JournalFormat.padded(used) - used))
        entry.withUnsafeMutableBytes { bytes in
            guard let place = bytes.baseAddress else { return }
            place.putLittle(Self.magic, at: 0)
            place.putLittle(UInt32(clamping: record.bytes.count), at: 8)
            place.putLittle(UInt16(clamping: record.key.lowerBound), at: 12)
            place.putLittle(UInt16(clamping: record.key.count), at: 14)
            place.putLittle(UInt16(sink.count), at: 16)
            place.putLittle(UInt16(reason.count), at: 18)
            place.putLittle(record.sequence, at: 24)
            place.putLittle(record.milliseconds, at: 32)
            let sum = Checksum.of(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[8..<used]))
            place.putLittle(sum, at: 4)
        }
        return entry
    }

    /// Calls `body` with every whole entry from the offset on; what is none is skipped.
    ///
    /// - Returns: where the last whole entry ended: a later look goes on there.
    @discardableResult
    static func visit(
        _ file: any JournalFile,
        from start: Int,
        _ body: (RefusedRecord) throws -> Void
    ) rethrows -> Int {
        guard let size = try? file.size(), size > start else { return start }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: size - start, alignment: 16)
        defer { bytes.deallocate() }
        guard let got = try? file.read(into: bytes, at: start) else { return start }
        let whole = UnsafeRawBufferPointer(rebasing: bytes[..<got])
        var offset = 0
        var end = 0
        while offset + Self.headerBytes <= got {
            guard let (record, next) = Self.decode(whole, at: offset) else {
                offset += 8
                continue
            }
            try body(record)
            offset = next
            end = next
        }
        return start + end
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> (RefusedRecord, next: Int)? {
        guard let base = bytes.baseAddress else { return nil }
        let place = base + offset
        guard place.little(0, as: UInt32.self) == Self.magic else { return nil }
        let length = Int(place.little(8, as: UInt32.self))
        let (sink, reason) = (Int(place.little(16, as: UInt16.self)), Int(place.little(18, as: UInt16.self)))
        let used = Self.headerBytes + sink + reason + length
        guard used <= bytes.count - offset else { return nil }
        let covered = UnsafeRawBufferPointer(start: place + 8, count: used - 8)
        guard Checksum.of(covered) == place.little(4, as: UInt32.self) else { return nil }
        let names = UnsafeRawBufferPointer(start: place + Self.headerBytes, count: sink + reason)
        let keyStart = min(Int(place.little(12, as: UInt16.self)), length)
        let keyEnd = min(keyStart + Int(place.little(14, as: UInt16.self)), length)
        let record = RefusedRecord(
            sequence: place.little(24),
            bytes: Array(UnsafeRawBufferPointer(start: place + Self.headerBytes + sink + reason, count: length)),
            key: keyStart..<keyEnd,
            sink: String(decoding: names[..<sink], as: UTF8.self),
            reason: String(decoding: names[sink...], as: UTF8.self),
            milliseconds: place.little(32)
        )
        return (record, offset + JournalFormat.padded(used))
    }
}
