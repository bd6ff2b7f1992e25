import Logging
import Synchronization

/// Trouble and its end, and what has to be done now and then.
extension JournalEngine {
    func fail(_ refusal: JournalRefusal) {
        let changed = self.ledger.withLock { ledger in
            let before = ledger.state
            if refusal == .full { ledger.isFull = true } else { ledger.hasFailed = true }
            return before != ledger.state
        }
        self.showRefusal()
        if changed { self.logger.error("journal takes no events", metadata: ["refusal": "\(refusal)"]) }
    }

    func showRefusal() {
        let refusal = self.ledger.withLock { ledger -> JournalRefusal? in
            switch ledger.state {
            case .failed: .unavailable
            case .full: .full
            case .ok, .high: nil
            }
        }
        let code = refusal.flatMap { JournalRefusal.allCases.firstIndex(of: $0) }.map { UInt8($0 + 1) } ?? 0
        self.refusalCode.store(code, ordering: .relaxed)
    }

    /// Begins a segment where there is none: at the start, and when the disk may be well again.
    func restore(bytes: Int) {
        let refusal = self.appender.withLock { appender -> JournalRefusal? in
            appender.current == nil ? self.rotate(&appender, bytes: bytes) : nil
        }
        guard refusal == nil else { return }
        let recovered = self.ledger.withLock { ledger in
            defer {
                ledger.isFull = false
                ledger.hasFailed = false
            }
            return ledger.isFull || ledger.hasFailed
        }
        self.showRefusal()
        if recovered { self.logger.notice("journal takes events again") }
    }

    /// What has to happen now and then, beside the commits: positions saved, segments freed, the next one prepared, and
    /// the way back out of trouble.
    func keepHouse(saveCursors: Bool) {
        if saveCursors || self.ledger.withLock({ $0.hasSegmentToFree }) { self.saveCursors() }
        self.freeSegments(upTo: 1)
        if self.refusal != nil { self.restore(bytes: self.configuration.effectiveSegmentBytes) }
        let whole = self.configuration.effectiveSegmentBytes
        let isNeeded = self.ledger.withLock { $0.needsSpare(of: whole) }
        guard isNeeded, self.refusal == nil, !self.spares.isReady else { return }
        self.dropOldestIfBound(whole)
        // Failing here is no trouble yet: there is a segment to write to.
        try? self.spares.prepare { self.fits($0) }
    }

    func dropOldestIfBound(_ bytes: Int) {
        guard self.configuration.whenFull == .dropOldest, !self.spares.isReady else { return }
        var oldest: UInt64?
        // The same one again: its file can't go, since no position can be saved.
        while !self.fits(bytes), let next = self.ledger.withLock({ $0.dropOldest() }), next != oldest {
            oldest = next
            self.noteLow()
            self.saveCursors()
            self.freeSegments()
        }
    }

    func saveCursors() {
        let unsaved = self.ledger.withLock { ledger in
            ledger.unsavedCursors().map { (ledger.sinks[$0.sink].name, $0) }
        }
        for (name, cursor) in unsaved {
            do {
                try self.cursors.withLock { cursors throws(IOFailure) in try cursors.save(name, cursor) }
                self.ledger.withLock { $0.saved(cursor) }
            } catch {
                self.logger.warning("position of a sink not saved", metadata: ["sink": "\(name)", "cause": "\(error)"])
            }
        }
    }

    /// - Parameter count: the file system frees a file's space in the same transactions that commits go through, so a backlog
    ///   that was delivered goes segment by segment.
    func freeSegments(upTo count: Int = .max) {
        var freed = 0
        while freed < count, let segment = self.ledger.withLock({ $0.freeOldest() }) {
            freed += 1
            do {
                try self.spares.recycle(segment)
            } catch {
                self.logger.warning("acknowledged segment not removed", metadata: ["cause": "\(error)"])
            }
        }
    }

    func noteLow() {
        self.low.store(self.ledger.withLock { $0.low }, ordering: .relaxed)
    }

    /// The last act: everything synced, positions saved, the end marked.
    func finish() {
        self.syncBehind()
        self.saveCursors()
        let (next, newest) = self.ledger.withLock { ($0.next, $0.segments.last?.id ?? 0) }
        do {
            try self.cursors.withLock { cursors throws(IOFailure) in try cursors.saveEnd(next, segment: newest) }
        } catch {
            self.logger.warning("end of the journal not marked", metadata: ["cause": "\(error)"])
        }
    }
}
