import Logging

/// What goes from the directory, and what is used again.
extension JournalRecovery {
    /// Gives the space behind the last event back; the second header moves to the new end first.
    func cutUnusedEnd(of segment: SegmentFile, _ entry: inout JournalLedger.Segment) {
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

    func discard(_ segment: SegmentFile) {
        try? self.files.remove(self.paths.segment(segment.id))
    }

    /// Removes unfinished files, and cursors of sinks that are no longer written to: they would hold positions of files
    /// that have gone when the sink comes back.
    func removeStrays(_ entries: [String], sinks: [String]) {
        let known = Set(sinks.flatMap { [self.paths.cursor($0, 0), self.paths.cursor($0, 1)] })
        for name in entries {
            let path = self.configuration.directory + "/" + name
            let isStrayCursor = (name.hasSuffix(".cursor0") || name.hasSuffix(".cursor1")) && !known.contains(path)
            if name.hasSuffix(".tmp") || isStrayCursor { try? self.files.remove(path) }
        }
    }

    func usableSpares(_ entries: [String]) -> [UInt64] {
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
