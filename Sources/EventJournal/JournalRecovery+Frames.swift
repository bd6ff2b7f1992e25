import Logging

/// Which events the segments hold, and what of them the next power cut must not take.
extension JournalRecovery {
    mutating func readSegments(
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
            // Not only the next one's: a segment that was rewritten and removed may be back after a power cut.
            let limit = firsts[(index + 1)...].lazy.compactMap { $0 }.min()
            if let limit, limit <= first {
                self.discard(self.found[index])
                continue
            }
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
        // Where nothing is kept and no sink has a position, all may have been delivered, unless the last segment is still there.
        let isLastThere = self.found.contains { $0.id == self.closedSegment }
        if reached < knownEnd, !kept.isEmpty || low != nil || isLastThere {
            self.lose(reached..<knownEnd, "end of the journal missing")
        }
        return (kept, max(reached, knownEnd))
    }

    func firstSequence(of segment: SegmentFile, _ instance: InstanceID) -> UInt64? {
        if case .header(let header) = segment.finding { return header.firstSequence }
        let scanner = SegmentScanner(
            segment.file,
            seed: SegmentHeader.seed(id: segment.id, instance: instance),
            limit: segment.limit
        )
        return scanner.next()?.header.firstSequence
    }

    func entry(of segment: SegmentFile, _ instance: InstanceID, first: UInt64) -> JournalLedger.Segment {
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
    /// - Parameter limit: the lowest first sequence of the later segments; what stands here from there on is superseded.
    mutating func scan(
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
    /// once more. All others were synced before it began. Where answers do not wait for a sync that is not known of any
    /// write in the last two segments.
    mutating func makeDurable(_ segment: SegmentFile, _ entry: JournalLedger.Segment, fromTheEnd: Int) {
        let isDoubtful = fromTheEnd == 0 || fromTheEnd == 1 && self.lastWriteOffset == JournalFormat.block
        do {
            if isDoubtful {
                try segment.file.rewrite(self.lastWriteOffset..<max(entry.used, self.lastWriteOffset))
            }
            try segment.file.sync()
        } catch {
            self.logger.error("recovered events not synced", metadata: ["cause": "\(error)", "segment": "\(entry.id)"])
            self.unsecured.append(entry)
        }
    }
}

extension JournalFile {
    /// Writes what is read there, so that the next sync covers it.
    func rewrite(_ range: Range<Int>) throws(IOFailure) {
        let window = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { window.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let part = UnsafeMutableRawBufferPointer(rebasing: window[..<min(window.count, range.upperBound - offset)])
            let got = try self.read(into: part, at: offset)
            guard got > 0 else { return }
            try self.write([UnsafeRawBufferPointer(rebasing: part[..<got])], at: offset)
            offset += got
        }
    }
}
