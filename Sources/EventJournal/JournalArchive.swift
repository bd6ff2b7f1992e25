/// Reads the records of a journal directory, or of a quarantine, without owning it: also while a service writes to it.
///
/// It takes no lock, changes nothing, and remembers how far it came.
public struct JournalArchive {
    private let directory: String
    private let files = DiskFileSystem()
    /// The first sequence that was not given yet.
    private var expected: UInt64 = 0
    private var open: OpenSegment?
    private var damagedSeen: Set<String> = []
    /// How far each file of refused records was read.
    private var refusedSeen: [String: Int] = [:]
    /// Segments that were read to their end at least once.
    private var looked: Set<UInt64> = []

    private struct OpenSegment {
        var id: UInt64
        var scanner: SegmentScanner
        var first: UInt64
    }

    /// What is known of a record besides its bytes.
    public enum Origin: Sendable, Equatable {
        /// A batch whose checksum holds.
        case journal
        /// Damaged bytes: it may be an event, or may not.
        case damaged
        /// A sink refused it for good; time in milliseconds since the Unix epoch.
        case refused(sink: String, reason: String, milliseconds: UInt64)
    }

    public init(directory: String) {
        self.directory = directory
    }

    /// Whether there is something of a journal in the directory.
    public static func isJournal(_ directory: String) -> Bool {
        let names = (try? DiskFileSystem().list(directory)) ?? []
        return names.contains {
            $0.hasSuffix(".seg") || $0.hasSuffix(".damaged") || $0.hasSuffix(RefusedEntry.suffix)
        }
    }

    /// Calls `body` with every record that was not given yet: first those of whole batches, in order, then, of a
    /// quarantine, what sinks refused, and what can be made out in damaged bytes.
    ///
    /// - Throws: what `body` throws; a directory that cannot be listed has no records.
    public mutating func read(_ body: (JournalRecord, Origin) throws -> Void) rethrows {
        let names = ((try? self.files.list(self.directory)) ?? []).sorted()
        let ids = names.compactMap { JournalPaths.id(of: $0, suffix: ".seg") }
        let wanted = ids.filter { $0 >= self.open?.id ?? 0 }
        var limits = self.limits(of: wanted)
        for id in wanted {
            let limit = limits.removeFirst()
            if self.open?.id != id {
                guard let segment = self.openSegment(id, ids) else { continue }
                self.open = segment
            }
            try self.readOpen(limit: limit, resync: id != wanted.last, body)
        }
        for name in names where name.hasSuffix(RefusedEntry.suffix) { try self.readRefused(name, body) }
        for name in names where name.hasSuffix(".damaged") && self.damagedSeen.insert(name).inserted {
            try self.salvage(name, body)
        }
    }

    /// For each segment the lowest first sequence of those after it: what it holds from there on is superseded.
    private func limits(of ids: [UInt64]) -> [UInt64?] {
        var lowest: UInt64?
        let limits = ids.reversed().map { id -> UInt64? in
            defer {
                if let first = self.openSegment(id, ids)?.first, first > 0 { lowest = min(lowest ?? first, first) }
            }
            return lowest
        }
        return limits.reversed()
    }

    private func openSegment(_ id: UInt64, _ ids: [UInt64]) -> OpenSegment? {
        let path = JournalPaths(directory: self.directory)
        guard let file = try? self.files.openToRead(path.segment(id)) else { return nil }
        let segment = SegmentFile(file, id: id)
        if case .header(let header) = segment.finding {
            let scanner = SegmentScanner(file, seed: header.seed, limit: segment.limit)
            return OpenSegment(id: id, scanner: scanner, first: header.firstSequence)
        }
        // Its own headers are damaged: a neighbour knows the journal's instance.
        for other in ids where other != id {
            guard let file = try? self.files.openToRead(path.segment(other)),
                case .header(let header) = SegmentFile(file, id: other).finding
            else { continue }
            let seed = SegmentHeader.seed(id: id, instance: header.instance)
            return OpenSegment(
                id: id,
                scanner: SegmentScanner(segment.file, seed: seed, limit: segment.limit),
                first: 0
            )
        }
        return nil
    }

    /// - Parameter limit: what stands here from this sequence on is superseded by a later segment.
    private mutating func readOpen(
        limit: UInt64?,
        resync: Bool,
        _ body: (JournalRecord, Origin) throws -> Void
    ) rethrows {
        guard let scanner = self.open?.scanner else { return }
        scanner.refresh()
        // Damage in the newest segment is skipped when it is met first; later a frame may be half written at its end.
        let isFirstLook = self.looked.insert(self.open?.id ?? 0).inserted
        while let frame = scanner.next(resync: resync || isFirstLook) {
            if let limit, frame.header.firstSequence >= limit { return }
            if frame.header.isVoid { continue }
            var sequence = frame.header.firstSequence
            var walk = RecordWalk(frame.records)
            while let record = walk.next() {
                defer { sequence += 1 }
                guard sequence >= self.expected, let base = frame.records.baseAddress else { continue }
                self.expected = sequence + 1
                try body(JournalRecord(at: base + record.offset, sequence: sequence), .journal)
            }
        }
    }

    private mutating func readRefused(_ name: String, _ body: (JournalRecord, Origin) throws -> Void) rethrows {
        guard let file = try? self.files.openToRead(self.directory + "/" + name) else { return }
        self.refusedSeen[name] = try RefusedEntry.visit(file, from: self.refusedSeen[name] ?? 0) { entry in
            let origin = Origin.refused(sink: entry.sink, reason: entry.reason, milliseconds: entry.milliseconds)
            try entry.bytes.withUnsafeBytes { bytes in
                let key = UnsafeRawBufferPointer(rebasing: bytes[entry.key])
                try body(JournalRecord(sequence: entry.sequence, bytes: bytes, key: key), origin)
            }
        }
    }

    private func salvage(_ name: String, _ body: (JournalRecord, Origin) throws -> Void) rethrows {
        guard let file = try? self.files.openToRead(self.directory + "/" + name), let size = try? file.size(), size > 0
        else { return }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        defer { bytes.deallocate() }
        guard let got = try? file.read(into: bytes, at: 0), let base = bytes.baseAddress else { return }
        var offset = 0
        while offset + JournalFormat.frameHeaderBytes <= got {
            let place = UnsafeRawPointer(base + offset)
            guard let header = FrameHeader.peek(place, room: got - offset) else {
                offset += 8
                continue
            }
            var sequence = header.firstSequence
            let start = place + JournalFormat.frameHeaderBytes
            var walk = RecordWalk(UnsafeRawBufferPointer(start: start, count: header.length))
            while let record = walk.next() {
                try body(JournalRecord(at: start + record.offset, sequence: sequence), .damaged)
                sequence &+= 1
            }
            offset += header.stride
        }
    }
}
