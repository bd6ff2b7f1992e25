import Logging

/// What is lost or torn: counted, marked, and its bytes kept aside.
extension JournalRecovery {
    mutating func lose(_ gaps: inout [Gap], of segment: SegmentFile) {
        for gap in gaps {
            self.lose(gap.range, "batch damaged")
            self.keepAside(segment, gap.bytes.lowerBound, gap.bytes.upperBound)
        }
        gaps = []
    }

    /// Puts void frames where the last write of the journal was torn; as many as it takes to count what is missing.
    mutating func void(_ gap: Gap, of segment: SegmentFile, _ entry: JournalLedger.Segment) {
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

    mutating func lose(_ range: Range<UInt64>, _ what: String) {
        self.lost.append(range)
        self.logger.error(
            "events lost in the journal",
            metadata: [
                "cause": "\(what)", "first": "\(range.lowerBound)", "count": "\(range.upperBound - range.lowerBound)",
            ]
        )
    }

    /// Copies damaged bytes to the quarantine: at most 2 MiB of one place, ``JournalConfiguration/quarantineBytes`` in all.
    mutating func keepAside(_ segment: SegmentFile, _ start: Int, _ end: Int) {
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
}
