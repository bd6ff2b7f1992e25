import Logging

/// What a start makes of the files it finds: which events are there, which are lost, where to go on.
///
/// It reads in constant memory, copies damaged bytes aside, removes what holds no event, and fails because of no content.
struct JournalRecovery {
    struct Result {
        var instance: InstanceID
        var segments: [JournalLedger.Segment]
        var sinks: [JournalLedger.Sink]
        var lost: [Range<UInt64>]
        /// Sequences that were never given to anyone.
        var voids: [Range<UInt64>]
        var next: UInt64
        var nextSegmentID: UInt64
        /// Ids of prepared segments of the right size.
        var spares: [UInt64]
        /// Segments that a power cut could still change.
        var unsecured: [JournalLedger.Segment]
        /// Events that the bound had left to the memory of a sink.
        var held: Int
    }

    let files: any JournalFileSystem
    let paths: JournalPaths
    let configuration: JournalConfiguration
    let logger: Logger
    var found: [SegmentFile] = []
    var lost: [Range<UInt64>] = []
    var voids: [Range<UInt64>] = []
    var unsecured: [JournalLedger.Segment] = []
    /// Where the last write begins in the segment that was scanned last.
    var lastWriteOffset = JournalFormat.block
    /// The segment in which the journal was closed the last time; 0 if it is not known.
    var closedSegment: UInt64 = 0

    /// A gap in front of a frame of the same write.
    struct Gap {
        var range: Range<UInt64>
        var bytes: Range<Int>
        var write: UInt64
    }
    var quarantined = 0

    init(_ files: any JournalFileSystem, _ configuration: JournalConfiguration, logger: Logger) {
        self.files = files
        self.paths = JournalPaths(directory: configuration.directory)
        self.configuration = configuration
        self.logger = logger
    }

    /// The version of a segment that a newer program wrote, if there is one. Reads only.
    static func newerVersion(in directory: String, _ files: any JournalFileSystem) -> UInt16? {
        guard let names = try? files.list(directory) else { return nil }
        for name in names {
            guard let id = JournalPaths.id(of: name, suffix: ".seg"),
                let file = try? files.open(directory + "/" + name, create: false)
            else { continue }
            if case .newer(let version) = SegmentFile(file, id: id).finding { return version }
        }
        return nil
    }

    mutating func run(sinks names: [String]) throws(IOFailure) -> Result {
        let entries = try self.files.list(self.configuration.directory)
        let ids = entries.compactMap { JournalPaths.id(of: $0, suffix: ".seg") }.sorted()
        self.found = ids.compactMap { id in
            guard let file = try? self.files.open(self.paths.segment(id), create: false) else { return nil }
            return SegmentFile(file, id: id)
        }
        let instance = self.knownInstance ?? .random()
        let cursors = names.map { self.cursor($0, instance) }
        let segments = self.readSegments(instance, low: self.knownLow(cursors), end: self.knownEnd(cursors, instance))
        let oldest = segments.segments.first?.first ?? self.lost.first?.lowerBound ?? segments.next
        let sinks = zip(names, cursors).map { name, cursor in
            JournalLedger.Sink(
                name: name,
                position: cursor?.sequence ?? oldest,
                // What was read may have been in the page cache only: nothing is freed before it is saved once more.
                saved: 0,
                generation: cursor?.generation ?? 0,
                hasCursor: false
            )
        }
        self.removeStrays(entries, sinks: names)
        do {
            try self.files.syncDirectory(self.configuration.directory)
        } catch {
            self.logger.warning("journal directory not synced", metadata: ["cause": "\(error)"])
        }
        return Result(
            instance: instance,
            segments: segments.segments,
            sinks: sinks,
            lost: self.lost,
            voids: self.voids,
            next: segments.next,
            // A leap: a power cut may have taken a segment's name and header and left its frames in a file that is used
            // again, where they would validate under the same id.
            nextSegmentID: (ids.last ?? 0) &+ .random(in: 1...1 << 32),
            spares: self.usableSpares(entries),
            unsecured: self.unsecured,
            held: cursors.map { Int($0?.held ?? 0) }.max() ?? 0
        )
    }

    // MARK: What is known before the frames are read

    private var knownInstance: InstanceID? {
        for segment in self.found.reversed() {
            if case .header(let header) = segment.finding { return header.instance }
        }
        return self.endNote?.instance
    }

    private var endNote: JournalNote? {
        (try? self.files.open(self.paths.end, create: false))?.readNote(magic: JournalFormat.endMagic)
    }

    private func cursor(_ sink: String, _ instance: InstanceID) -> JournalNote? {
        let notes = [0, 1].compactMap { turn -> JournalNote? in
            let file = try? self.files.open(self.paths.cursor(sink, turn), create: false)
            return file?.readNote(magic: JournalFormat.cursorMagic)
        }
        return notes.filter { $0.instance == instance }.max { $0.generation < $1.generation }
    }

    /// Below it every sink has everything. Unknown as soon as one has no cursor.
    private func knownLow(_ cursors: [JournalNote?]) -> UInt64? {
        let known = cursors.compactMap { $0?.sequence }
        return known.count == cursors.count ? known.min() : nil
    }

    /// The journal reached at least this far, whatever the segments say.
    private mutating func knownEnd(_ cursors: [JournalNote?], _ instance: InstanceID) -> UInt64 {
        let end = self.endNote.flatMap { $0.instance == instance ? $0 : nil }
        self.closedSegment = end?.segment ?? 0
        return max(end?.sequence ?? 1, cursors.compactMap { $0?.sequence }.max() ?? 1, 1)
    }
}
