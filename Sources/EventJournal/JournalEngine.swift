import Logging
import Metrics
import Synchronization

/// The journal without its threads: commits batches, changes segments, saves positions, frees what everybody has.
///
/// Locks are taken in this order: the one of syncs behind the answers, the appender's, the spares', all held over disk
/// operations, and the ledger's, which never is. Event loops take the ledger's only, and in `write` mode the appender's when
/// it is free.
final class JournalEngine: Sendable {
    /// The segment being written.
    struct Appender {
        var current: Current?
        var directoryIsUnsynced = false
        /// Segments without an event whose files have to go.
        var strays: [UInt64] = []
        /// Of an earlier life, with events that a power cut could still take: nothing is taken before they are safe.
        var unsecured: [JournalLedger.Segment] = []
        /// Where answers do not wait for a sync: what the next one has to cover.
        var behind = Behind()
    }

    /// What no sync covers yet. Its frames stay in memory and always fit into one fresh segment of the usual size, and they
    /// stand in the last two segments: so a failed sync is made good by one segment, and a start knows where to look.
    struct Behind {
        /// At most two, the one being written last.
        var files: [any JournalFile] = []
        /// Of frames.
        var bytes = 0
        /// Everything below is on disk for certain.
        var syncedThrough: UInt64 = 0
        /// A sync failed: the frames from `syncedThrough` on go to the next segment once more.
        var mustRewrite = false
        /// Counts the rewrites: a sync that was running meanwhile says nothing any more.
        var rewrites = 0
    }

    struct Current {
        var file: any JournalFile
        var id: UInt64
        var seed: UInt32
        var position: Int
        var limit: Int
    }

    /// Frames that go to one segment with one write.
    struct Piece {
        var parts: [(buffer: LaneBuffer, frames: Range<Int>)] = []
        var bytes = 0
        var records = 0
    }

    let configuration: JournalConfiguration
    let instance: InstanceID
    let recent: RecentBatches
    let files: any JournalFileSystem
    let paths: JournalPaths
    let logger: Logger
    let ledger: Locked<JournalLedger>
    let appender: Locked<Appender>
    let spares: SpareSegments
    let cursors: Locked<CursorFiles>
    /// Held for as long as a sync behind the answers takes; before the appender's lock.
    let syncing = Locked(())
    /// What every lane looks at first: 0, or 1 + the index of the refusal.
    let refusalCode = Atomic<UInt8>(0)
    /// What every sink has; read beside the ledger where an older value does no harm.
    let low: Atomic<UInt64>
    let syncTimer = Timer(label: "adtrack_journal_sync_seconds")
    /// When the sync began that is running, in monotonic nanoseconds; 0 when none is.
    let syncBegan = Atomic<UInt64>(0)

    /// Recovers what the directory holds and begins a new segment. A full disk is no reason to fail.
    init(
        _ configuration: JournalConfiguration,
        sinks: [String],
        files: any JournalFileSystem,
        logger: Logger
    ) throws(JournalOpenError) {
        self.configuration = configuration
        self.files = files
        self.logger = logger
        self.paths = JournalPaths(directory: configuration.directory)
        var recovery = JournalRecovery(files, configuration, logger: logger)
        let found: JournalRecovery.Result
        do {
            found = try recovery.run(sinks: sinks)
        } catch {
            throw JournalOpenError(code: .unusable, description: "The journal directory cannot be read: \(error).")
        }
        self.instance = found.instance
        self.recent = RecentBatches(
            maxBytes: configuration.ringBytes,
            keepsUnsynced: configuration.durability != .fsync
        )
        var ledger = JournalLedger(
            maxBytes: configuration.maxBytes,
            next: found.next,
            sinks: found.sinks,
            segments: found.segments,
            lost: found.lost,
            voids: found.voids
        )
        ledger.leftOut(found.held)
        self.low = Atomic(ledger.low)
        self.appender = Locked(Appender(unsecured: found.unsecured))
        self.ledger = Locked(ledger)
        self.spares = SpareSegments(files, configuration, nextID: found.nextSegmentID, existing: found.spares)
        self.cursors = Locked(CursorFiles(files, self.paths, found.instance))
        self.saveCursors()
        self.freeSegments()
        self.restore(bytes: configuration.firstSegmentBytes)
    }

    // MARK: Views

    var books: JournalBooks { self.ledger.withLock { $0.books } }
    var nextSequence: UInt64 { self.ledger.withLock { $0.next } }

    /// Why nothing is taken at the moment. Never waits.
    var refusal: JournalRefusal? {
        let code = self.refusalCode.load(ordering: .relaxed)
        return code == 0 ? nil : JournalRefusal.allCases[Int(code) - 1]
    }

    /// How long the running sync has been running, in nanoseconds.
    var syncAge: UInt64 {
        let began = self.syncBegan.load(ordering: .relaxed)
        guard began != 0 else { return 0 }
        let now = JournalClock.monotonicNanoseconds()
        return now > began ? now - began : 0
    }

    func withLedger<R: Sendable>(_ body: (inout sending JournalLedger) -> sending R) -> R {
        self.ledger.withLock(body)
    }

    // MARK: Commit

    /// How far a commit has come.
    struct Progress {
        var outcomes: [BatchOutcome]
        var buffer = 0
        var frame = 0
    }

    /// Writes the batches, makes them durable where the mode says so, and puts them into the books.
    ///
    /// - Returns: what became of each.
    func commit(_ buffers: [LaneBuffer]) -> [BatchOutcome] {
        var progress = Progress(outcomes: Array(repeating: .durable, count: buffers.count))
        while true {
            progress = self.appender.withLock { [progress] appender in
                var progress = progress
                self.commit(buffers, &progress, &appender)
                return progress
            }
            guard progress.buffer < buffers.count else { return progress.outcomes }
            // More than one segment could take once more: the disk is slower than those who write.
            self.syncBehind()
        }
    }

    /// As `commit`, but with one write and nothing else, and only if nobody else is writing and the segment has room: for a
    /// loop that writes itself.
    ///
    /// - Returns: nil where the writer has to do it.
    func commitAtOnce(_ buffer: LaneBuffer) -> BatchOutcome? {
        // A disk that is slow just now may be so for a write as well.
        guard self.syncAge < Self.patienceNanoseconds else { return nil }
        let outcome = self.appender.withLockIfAvailable { appender -> BatchOutcome? in
            let bytes = buffer.frames.reduce(0) { $0 + $1.stride }
            guard let current = appender.current, bytes <= current.limit - current.position,
                !self.mustSync(before: bytes, appender)
            else { return nil }
            var progress = Progress(outcomes: [.durable])
            let piece = self.piece(of: [buffer], from: &progress, appender)
            guard progress.buffer == 1 else { return nil }
            return self.attempt(piece, first: self.nextSequence, &appender) ? .durable : nil
        }
        return outcome ?? nil
    }

    /// How old a running sync may be for a loop to write beside it: half of what a health check may take.
    private static let patienceNanoseconds: UInt64 = 5_000_000

    /// Stops where a sync behind the answers has to come first.
    private func commit(_ buffers: [LaneBuffer], _ progress: inout Progress, _ appender: inout Appender) {
        while progress.buffer < buffers.count {
            let first = progress.buffer
            guard progress.frame < buffers[first].frames.count else {
                (progress.buffer, progress.frame) = (first + 1, 0)
                continue
            }
            let bytes = buffers[first].frames[progress.frame].stride
            if self.mustSync(before: bytes, appender) { return }
            if let refusal = self.ensureRoom(bytes, &appender) {
                progress.outcomes[first] = self.refuse(buffers[first], from: progress.frame, refusal)
                (progress.buffer, progress.frame) = (first + 1, 0)
                continue
            }
            self.commitPiece(of: buffers, &progress, &appender)
        }
    }

    /// Everything that fits with one write.
    private func commitPiece(of buffers: [LaneBuffer], _ progress: inout Progress, _ appender: inout Appender) {
        let (first, frame) = (progress.buffer, progress.frame)
        let piece = self.piece(of: buffers, from: &progress, appender)
        guard let refusal = self.write(piece, &appender) else { return }
        let last = min(progress.buffer, buffers.count - 1)
        for index in first...last where index < progress.buffer || progress.frame > 0 {
            // Frames of an earlier piece are in the books already.
            progress.outcomes[index] = self.refuse(buffers[index], from: index == first ? frame : 0, refusal)
        }
        if progress.frame > 0 { (progress.buffer, progress.frame) = (progress.buffer + 1, 0) }
    }

    private func piece(of buffers: [LaneBuffer], from progress: inout Progress, _ appender: Appender) -> Piece {
        var piece = Piece()
        let room = min(appender.current.map { $0.limit - $0.position } ?? 0, self.room(behind: appender))
        while progress.buffer < buffers.count {
            let buffer = buffers[progress.buffer]
            let begin = progress.frame
            while progress.frame < buffer.frames.count, piece.bytes + buffer.frames[progress.frame].stride <= room {
                piece.bytes += buffer.frames[progress.frame].stride
                piece.records += buffer.frames[progress.frame].count
                progress.frame += 1
            }
            if progress.frame > begin { piece.parts.append((buffer, begin..<progress.frame)) }
            if progress.frame < buffer.frames.count { return piece }
            (progress.buffer, progress.frame) = (progress.buffer + 1, 0)
        }
        return piece
    }

    func refuse(_ buffer: LaneBuffer, from frame: Int, _ refusal: JournalRefusal) -> BatchOutcome {
        guard refusal == .full, self.configuration.whenFull == .answerUnrecorded else { return .failed(refusal) }
        let count = buffer.frames[frame...].reduce(0) { $0 + $1.count }
        self.ledger.withLock { $0.leftOut(count) }
        return .durable
    }

    /// Writes once; where that fails, once more to a new segment.
    func write(_ piece: Piece, _ appender: inout Appender) -> JournalRefusal? {
        let first = self.nextSequence
        if self.attempt(piece, first: first, &appender) { return nil }
        if let refusal = self.ensureRoom(piece.bytes, &appender) { return refusal }
        if self.attempt(piece, first: first, &appender) { return nil }
        self.fail(.unavailable)
        return .unavailable
    }

    /// False: it failed, and nothing is written to the segment any more.
    private func attempt(_ piece: Piece, first: UInt64, _ appender: inout Appender) -> Bool {
        let milliseconds = JournalClock.wallMilliseconds()
        do {
            try self.put(piece, first: first, milliseconds, &appender)
            self.publish(piece, milliseconds, appender)
            return true
        } catch {
            self.logger.error("journal write failed", metadata: ["cause": "\(error)"])
            self.abandon(&appender, from: first)
            appender.behind.mustRewrite = self.configuration.durability != .fsync
            return false
        }
    }

    func put(
        _ piece: Piece,
        first: UInt64,
        _ milliseconds: UInt64,
        _ appender: inout Appender
    ) throws(IOFailure) {
        guard let current = appender.current else {
            throw IOFailure(code: SystemError.noSpace, call: "append", path: "")
        }
        let parts = self.frames(of: piece, first: first, milliseconds, seed: current.seed)
        try current.file.write(parts, at: current.position)
        guard self.configuration.durability == .fsync else {
            self.noteUnsynced(current.file, bytes: piece.bytes, &appender)
            appender.current?.position += piece.bytes
            return
        }
        try self.timedSync(current.file)
        if appender.directoryIsUnsynced {
            try self.files.syncDirectory(self.paths.directory)
            appender.directoryIsUnsynced = false
        }
        appender.current?.position += piece.bytes
    }

    /// Numbers the frames and seals them; frames of one buffer stand behind each other already.
    func frames(
        of piece: Piece,
        first: UInt64,
        _ milliseconds: UInt64,
        seed: UInt32
    ) -> [UnsafeRawBufferPointer] {
        var sequence = first
        let flags = self.configuration.durability == .fsync ? 0 : JournalFormat.unsyncedFlag
        return piece.parts.map { buffer, range in
            var end = 0
            for frame in buffer.frames[range] {
                let header = FrameHeader(
                    length: frame.length,
                    count: frame.count,
                    firstSequence: sequence,
                    milliseconds: milliseconds,
                    flags: flags,
                    before: Int(sequence - first)
                )
                header.write(to: buffer.base + frame.offset, seed: seed)
                sequence += UInt64(frame.count)
                end = frame.offset + frame.stride
            }
            let begin = buffer.frames[range.lowerBound].offset
            return UnsafeRawBufferPointer(start: buffer.base + begin, count: end - begin)
        }
    }

    func timedSync(_ file: any JournalFile) throws(IOFailure) {
        let began = JournalClock.monotonicNanoseconds()
        self.syncBegan.store(began, ordering: .relaxed)
        defer { self.syncBegan.store(0, ordering: .relaxed) }
        do {
            try file.sync()
        } catch {
            self.ledger.withLock { $0.synced(failed: true) }
            throw error
        }
        self.syncTimer.recordNanoseconds(Int64(clamping: JournalClock.monotonicNanoseconds() &- began))
        self.ledger.withLock { $0.synced(failed: false) }
    }

    func publish(_ piece: Piece, _ milliseconds: UInt64, _ appender: borrowing Appender) {
        var sequence = self.nextSequence
        let low = self.low.load(ordering: .relaxed)
        let syncedThrough = appender.behind.syncedThrough
        for (buffer, range) in piece.parts {
            for frame in buffer.frames[range] {
                let bytes = UnsafeRawBufferPointer(start: buffer.base + frame.offset, count: frame.stride)
                let end = sequence + UInt64(frame.count)
                self.recent.append(bytes, sequence..<end, low: low, syncedThrough: syncedThrough)
                sequence = end
            }
        }
        let used = appender.current?.position ?? 0
        let waiters = self.ledger.withLock { $0.committed(piece.records, used: used, milliseconds: milliseconds) }
        for waiter in waiters { waiter.wake() }
    }
}
