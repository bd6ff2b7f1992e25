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
    }

    private let files: any JournalFileSystem
    private let paths: JournalPaths
    private let configuration: JournalConfiguration
    private let logger: Logger
    private var found: [SegmentFile] = []
    private var lost: [Range<UInt64>] = []
    private var voids: [Range<UInt64>] = []
    /// Where the last write begins in the segment that was scanned last.
    private var lastWriteOffset = JournalFormat.block
    /// The segment in which the journal was closed the last time; 0 if it is not known.
    private var closedSegment: UInt64 = 0

    /// A gap in front of a frame of the same write.
    private struct Gap {
        var range: Range<UInt64>
        var bytes: Range<Int>
        var write: UInt64
    }
    private var quarantined = 0

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
        let oldest = segments.segments.first?.first ?? segments.next
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
            spares: self.usableSpares(entries)
        )
    }

    // MARK: What is known before the frames are read

    private var knownInstance: InstanceID? {
        for segment in self.found.reversed() {
            if case .header(let header) = segment.finding { return header.instance }
        }
        return nil
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
        let note = (try? self.files.open(self.paths.end, create: false))?.readNote(magic: JournalFormat.endMagic)
        let end = note.flatMap { $0.instance == instance ? $0 : nil }
        self.closedSegment = end?.segment ?? 0
        return max(end?.sequence ?? 1, cursors.compactMap { $0?.sequence }.max() ?? 1, 1)
    }

    // MARK: Frames

    private mutating func readSegments(
        _ instance: InstanceID,
        low: UInt64?,
        end knownEnd: UInt64
    ) -> (segments: [JournalLedger.Segment], next: UInt64) {
        var kept: [JournalLedger.Segment] = []
        var expected = low
        let firsts = self.found.map { self.firstSequence(of: $0, instance) }
        for index in self.found.indices {
            guard let first = firsts[index] else {
                self.discard(self.found[index])
                continue
            }
            let limit = firsts[(index + 1)...].lazy.compactMap { $0 }.first
            var entry = self.entry(of: self.found[index], instance, first: first)
            if let low, let limit, limit <= low {
                entry.end = limit
                kept.append(entry)
                continue
            }
            if let missing = expected, missing < first { self.lose(missing..<first, "segment missing") }
            self.scan(self.found[index], &entry, limit: limit, knownEnd: knownEnd)
            expected = max(expected ?? 0, entry.end)
            if entry.end > entry.first {
                self.makeDurable(self.found[index], entry, fromTheEnd: self.found.count - 1 - index)
                if limit == nil { self.cutUnusedEnd(of: self.found[index], &entry) }
                kept.append(entry)
            } else {
                self.discard(self.found[index])
            }
        }
        let reached = max(expected ?? 1, 1)
        if reached < knownEnd, !kept.isEmpty || low != nil {
            self.lose(reached..<knownEnd, "end of the journal missing")
        }
        return (kept, max(reached, knownEnd))
    }

    private func firstSequence(of segment: SegmentFile, _ instance: InstanceID) -> UInt64? {
        if case .header(let header) = segment.finding { return header.firstSequence }
        let scanner = SegmentScanner(
            segment.file,
            seed: SegmentHeader.seed(id: segment.id, instance: instance),
            limit: segment.limit
        )
        return scanner.next()?.header.firstSequence
    }

    private func entry(of segment: SegmentFile, _ instance: InstanceID, first: UInt64) -> JournalLedger.Segment {
        var entry = JournalLedger.Segment(
            id: segment.id,
            instance: instance,
            first: first,
            end: first,
            used: segment.limit,
            fileBytes: segment.bytes,
            milliseconds: 0
        )
        if case .header(let header) = segment.finding {
            entry.instance = header.instance
            entry.milliseconds = header.createdMilliseconds
        }
        return entry
    }

    /// Finds the end of the segment's events and every gap in them.
    ///
    /// - Parameter limit: the first sequence of the next segment; what stands here from there on is superseded.
    private mutating func scan(
        _ segment: SegmentFile,
        _ entry: inout JournalLedger.Segment,
        limit: UInt64?,
        knownEnd: UInt64
    ) {
        let scanner = SegmentScanner(
            segment.file,
            seed: SegmentHeader.seed(id: entry.id, instance: entry.instance),
            limit: segment.limit
        )
        self.lastWriteOffset = JournalFormat.block
        var expected = entry.first
        var goodEnd = JournalFormat.block
        var gaps: [Gap] = []
        while let frame = scanner.next() {
            if let limit, frame.header.firstSequence >= limit { break }
            // A later write: the one before was finished, so what is missing in it was there once.
            if let gap = gaps.first, frame.header.writeSequence > gap.write { self.lose(&gaps, of: segment) }
            if frame.header.firstSequence > expected {
                let gap = Gap(
                    range: expected..<frame.header.firstSequence,
                    bytes: (frame.skippedFrom ?? goodEnd)..<frame.offset,
                    write: frame.header.writeSequence
                )
                gaps.append(gap)
                let isPartOfWrite = expected >= gap.write && frame.header.flags & JournalFormat.unsyncedFlag == 0
                if !isPartOfWrite { self.lose(&gaps, of: segment) }
            }
            if expected == entry.first { entry.milliseconds = frame.header.milliseconds }
            if frame.header.isVoid { self.voids.append(frame.header.firstSequence..<frame.header.endSequence) }
            let wasSynced = frame.header.flags & JournalFormat.unsyncedFlag == 0
            if frame.header.before == 0, wasSynced { self.lastWriteOffset = frame.offset }
            expected = max(expected, frame.header.endSequence)
            goodEnd = frame.offset + frame.header.stride
        }
        if limit != nil || self.closedSegment == segment.id { self.lose(&gaps, of: segment) }
        for gap in gaps { self.void(gap, of: segment, entry) }
        let end = limit ?? max(knownEnd, expected)
        if expected < end {
            self.keepAside(segment, goodEnd, segment.limit)
            if limit != nil { self.lose(expected..<end, "end of a segment damaged") }
        }
        entry.end = limit.map { max($0, entry.first) } ?? expected
        entry.used = min(goodEnd, segment.limit)
    }

    /// What counts from now on must survive a power cut too.
    ///
    /// The last write may never have been synced, or its sync failed and the system takes it for clean: it is written
    /// once more. All others were synced before it began. In a mode that does not wait for syncs that is not known of any
    /// write in the last two segments.
    private func makeDurable(_ segment: SegmentFile, _ entry: JournalLedger.Segment, fromTheEnd: Int) {
        do {
            let isDoubtful = fromTheEnd == 0 || fromTheEnd == 1 && self.lastWriteOffset == JournalFormat.block
            if isDoubtful {
                try self.rewrite(segment.file, self.lastWriteOffset..<max(entry.used, self.lastWriteOffset))
            }
            try segment.file.sync()
        } catch {
            self.logger.warning("recovered batch not synced", metadata: ["cause": "\(error)"])
        }
    }

    private func rewrite(_ file: any JournalFile, _ range: Range<Int>) throws(IOFailure) {
        let window = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { window.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let part = UnsafeMutableRawBufferPointer(rebasing: window[..<min(window.count, range.upperBound - offset)])
            let got = try file.read(into: part, at: offset)
            guard got > 0 else { return }
            try file.write([UnsafeRawBufferPointer(rebasing: part[..<got])], at: offset)
            offset += got
        }
    }

    // MARK: Losses

    private mutating func lose(_ gaps: inout [Gap], of segment: SegmentFile) {
        for gap in gaps {
            self.lose(gap.range, "batch damaged")
            self.keepAside(segment, gap.bytes.lowerBound, gap.bytes.upperBound)
        }
        gaps = []
    }

    /// Puts void frames where the last write of the journal was torn; as many as it takes to count what is missing.
    private mutating func void(_ gap: Gap, of segment: SegmentFile, _ entry: JournalLedger.Segment) {
        self.voids.append(gap.range)
        self.keepAside(segment, gap.bytes.lowerBound, gap.bytes.upperBound)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: gap.bytes.count, alignment: 16)
        defer { bytes.deallocate() }
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        guard let base = bytes.baseAddress else { return }
        var offset = 0
        var sequence = gap.range.lowerBound
        while sequence < gap.range.upperBound {
            let count = min(Int(gap.range.upperBound - sequence), JournalFormat.frameRecords)
            let isLast = sequence + UInt64(count) == gap.range.upperBound
            let room = isLast ? bytes.count - offset : JournalFormat.frameHeaderBytes + 8
            guard room > JournalFormat.frameHeaderBytes, offset + room <= bytes.count else { return }
            let header = FrameHeader(
                length: room - JournalFormat.frameHeaderBytes,
                count: count,
                firstSequence: sequence,
                milliseconds: 0,
                flags: JournalFormat.voidFlag,
                before: Int(sequence - gap.write)
            )
            header.write(to: base + offset, seed: SegmentHeader.seed(id: entry.id, instance: entry.instance))
            offset += room
            sequence += UInt64(count)
        }
        do {
            try segment.file.write([UnsafeRawBufferPointer(bytes)], at: gap.bytes.lowerBound)
            try segment.file.sync()
        } catch {
            self.logger.warning("torn batch not marked", metadata: ["cause": "\(error)"])
        }
    }

    private mutating func lose(_ range: Range<UInt64>, _ what: String) {
        self.lost.append(range)
        self.logger.error(
            "events lost in the journal",
            metadata: [
                "cause": "\(what)", "first": "\(range.lowerBound)", "count": "\(range.upperBound - range.lowerBound)",
            ]
        )
    }

    /// Copies damaged bytes to the quarantine: at most 2 MiB of one place, ``JournalConfiguration/quarantineBytes`` in all.
    private mutating func keepAside(_ segment: SegmentFile, _ start: Int, _ end: Int) {
        let count = min(end - start, 2 << 20, self.configuration.quarantineBytes - self.quarantined)
        guard count > 0 else { return }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { bytes.deallocate() }
        let path = "\(self.paths.quarantine)/\(JournalPaths.digits(segment.id))-\(start).damaged"
        do {
            let got = try segment.file.read(into: bytes, at: start)
            try self.files.makeDirectory(self.paths.quarantine)
            let copy = try self.files.open(path, create: true)
            try copy.truncate(to: 0)
            try copy.write([UnsafeRawBufferPointer(rebasing: bytes[..<got])], at: 0)
            try copy.sync()
            try self.files.syncDirectory(self.paths.quarantine)
            self.quarantined += got
        } catch {
            self.logger.error("damaged bytes not kept aside", metadata: ["cause": "\(error)"])
        }
    }

    // MARK: Files

    /// Gives the space behind the last event back; the second header moves to the new end first.
    private func cutUnusedEnd(of segment: SegmentFile, _ entry: inout JournalLedger.Segment) {
        guard case .header(let header) = segment.finding else { return }
        let copy = (entry.used + JournalFormat.block - 1) / JournalFormat.block * JournalFormat.block
        let end = copy + JournalFormat.block
        guard segment.bytes - end >= 64 << 10, segment.bytes == header.segmentBytes else { return }
        do {
            try segment.file.writeHeader(at: [copy]) { header.write(to: $0) }
            try segment.file.sync()
            try segment.file.truncate(to: end)
            try segment.file.sync()
            entry.fileBytes = end
        } catch {
            self.logger.warning("unused end of a segment not cut", metadata: ["cause": "\(error)"])
        }
    }

    private func discard(_ segment: SegmentFile) {
        try? self.files.remove(self.paths.segment(segment.id))
    }

    /// Removes unfinished files, and cursors of sinks that are no longer written to: they would hold positions of files
    /// that have gone when the sink comes back.
    private func removeStrays(_ entries: [String], sinks: [String]) {
        let known = Set(sinks.flatMap { [self.paths.cursor($0, 0), self.paths.cursor($0, 1)] })
        for name in entries {
            let path = self.configuration.directory + "/" + name
            let isStrayCursor = (name.hasSuffix(".cursor0") || name.hasSuffix(".cursor1")) && !known.contains(path)
            if name.hasSuffix(".tmp") || isStrayCursor { try? self.files.remove(path) }
        }
    }

    private func usableSpares(_ entries: [String]) -> [UInt64] {
        var kept: [UInt64] = []
        for id in entries.compactMap({ JournalPaths.id(of: $0, suffix: ".spare") }).sorted() {
            let size = (try? self.files.open(self.paths.spare(id), create: false))?.sizeIfKnown
            if kept.isEmpty, size == self.configuration.effectiveSegmentBytes {
                kept.append(id)
            } else {
                try? self.files.remove(self.paths.spare(id))
            }
        }
        return kept
    }
}

extension JournalFile {
    var sizeIfKnown: Int? { try? self.size() }
}
