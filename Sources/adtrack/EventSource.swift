import EventJournal
import Glibc
import StreamSink

/// Something that was recorded, borrowed: it may be no event.
struct RecordedEvent {
    var bytes: UnsafeRawBufferPointer
    /// The partition key where the record knows it.
    var key: Range<Int>?
    var origin = JournalArchive.Origin.journal
}

/// A path with recorded events, and how far it was read.
struct EventSource {
    private let path: String
    private var archive: JournalArchive
    private var files: [String: EventFileReader] = [:]
    private let isDirectory: Bool

    init(_ path: String) {
        self.path = path
        self.archive = JournalArchive(directory: path)
        var status = stat()
        self.isDirectory = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Calls `body` with what was not read yet; it says whether that was an event.
    ///
    /// - Returns: false when something was no event.
    mutating func read(_ body: (RecordedEvent) throws -> Bool) throws -> Bool {
        guard self.isDirectory else { return try self.readFile(self.path, body) }
        var isWhole = true
        for file in EventFileReader.files(in: self.path) { isWhole = try self.readFile(file, body) && isWhole }
        try self.archive.read { record, origin in
            let isEvent = try body(RecordedEvent(bytes: record.bytes, key: record.keyRange, origin: origin))
            guard !isEvent, origin != .damaged else { return }
            isWhole = false
            Self.complain("\(self.path): the record at sequence \(record.sequence) is no event")
        }
        return isWhole
    }

    private mutating func readFile(_ file: String, _ body: (RecordedEvent) throws -> Bool) throws -> Bool {
        var reader = self.files[file] ?? EventFileReader(path: file)
        defer { self.files[file] = reader }
        let start = reader.offset
        var isWhole = true
        let finding = try reader.read { bytes, offset in
            if try body(RecordedEvent(bytes: bytes)) { return }
            isWhole = false
            Self.complain("\(file): what stands at offset \(offset) is no event")
        }
        switch finding {
        case .complete: return isWhole
        case .malformed(let offset):
            if offset != start || start == 0 { Self.complain("\(file): no whole event at offset \(offset)") }
        case .unreadable(let cause): Self.complain("\(file) cannot be read: \(cause)")
        }
        return false
    }

    private static func complain(_ sentence: String) {
        let line = Array("adtrack events: \(sentence)\n".utf8)
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
