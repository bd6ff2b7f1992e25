import Logging
import Metrics
import Synchronization

/// The journal without its threads: commits batches, changes segments, saves positions, frees what everybody has.
///
/// Three locks, always taken in this order: the appender's and the spares' are held over disk operations, the ledger's
/// never is. Event loops take the ledger's only, and in `write` mode the appender's when it is free.
final class JournalEngine: Sendable {
    /// The segment being written.
    struct Appender {
        var current: Current?
        /// Segments with frames that no sync covers yet; only where answers do not wait for one.
        var unsynced: [any JournalFile] = []
        /// Everything below is on disk for certain; without meaning in `fsync` mode.
        var syncedThrough: UInt64 = 0
        /// A sync behind the answers failed: what it should have covered goes to the next segment once more.
        var mustRewrite = false
        var directoryIsUnsynced = false
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
    let appender = Locked(Appender())
    let spares: SpareSegments
    let cursors: Locked<CursorFiles>
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
        self.recent = RecentBatches(maxBytes: configuration.ringBytes)
        let ledger = JournalLedger(
            maxBytes: configuration.maxBytes,
            next: found.next,
            sinks: found.sinks,
            segments: found.segments,
            lost: found.lost,
            voids: found.voids
        )
        self.low = Atomic(ledger.low)
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

    /// Writes the batches, makes them durable where the mode says so, and puts them into the books.
    ///
    /// - Returns: what became of each.
    func commit(_ buffers: [LaneBuffer]) -> [BatchOutcome] {
        self.appender.withLock { appender in self.commit(buffers, &appender) }
    }

    /// As `commit`, but only if nobody else is writing and the segment has room: for a loop that writes itself.
    func commitAtOnce(_ buffer: LaneBuffer) -> BatchOutcome? {
        let outcome = self.appender.withLockIfAvailable { appender -> BatchOutcome? in
            let bytes = buffer.frames.reduce(0) { $0 + $1.stride }
            guard let current = appender.current, bytes <= current.limit - current.position else { return nil }
            return self.commit([buffer], &appender).first
        }
        return outcome ?? nil
    }

    func commit(_ buffers: [LaneBuffer], _ appender: inout Appender) -> [BatchOutcome] {
        var outcomes = [BatchOutcome](repeating: .durable, count: buffers.count)
        var place = (buffer: 0, frame: 0)
        while place.buffer < buffers.count {
            let first = place.buffer
            guard place.frame < buffers[first].frames.count else {
                place = (first + 1, 0)
                continue
            }
            if let refusal = self.ensureRoom(buffers[first].frames[place.frame].stride, &appender) {
                outcomes[first] = self.refuse(buffers[first], from: place.frame, refusal)
                place = (first + 1, 0)
                continue
            }
            let begin = place
            let piece = self.piece(of: buffers, from: &place, &appender)
            guard let refusal = self.write(piece, &appender) else { continue }
            for index in first...min(place.buffer, buffers.count - 1) where index < place.buffer || place.frame > 0 {
                // Frames of an earlier piece are in the books already.
                outcomes[index] = self.refuse(buffers[index], from: index == first ? begin.frame : 0, refusal)
            }
            if place.frame > 0 { place = (place.buffer + 1, 0) }
        }
        return outcomes
    }

    func piece(
        of buffers: [LaneBuffer],
        from place: inout (buffer: Int, frame: Int),
        _ appender: inout Appender
    ) -> Piece {
        var piece = Piece()
        let room = appender.current.map { $0.limit - $0.position } ?? 0
        while place.buffer < buffers.count {
            let buffer = buffers[place.buffer]
            let begin = place.frame
            while place.frame < buffer.frames.count, piece.bytes + buffer.frames[place.frame].stride <= room {
                piece.bytes += buffer.frames[place.frame].stride
                piece.records += buffer.frames[place.frame].count
                place.frame += 1
            }
            if place.frame > begin { piece.parts.append((buffer, begin..<place.frame)) }
            if place.frame < buffer.frames.count { return piece }
            place = (place.buffer + 1, 0)
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
        let milliseconds = JournalClock.wallMilliseconds()
        let first = self.nextSequence
        for attempt in 0..<2 {
            do {
                try self.put(piece, first: first, milliseconds, &appender)
                self.publish(piece, milliseconds, appender)
                return nil
            } catch {
                self.logger.error("journal write failed", metadata: ["cause": "\(error)", "attempt": "\(attempt + 1)"])
                self.abandon(&appender, from: first)
                guard attempt == 0 else { break }
                if let refusal = self.ensureRoom(piece.bytes, &appender) { return refusal }
            }
        }
        self.fail(.unavailable)
        return .unavailable
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
            if appender.unsynced.isEmpty { appender.unsynced.append(current.file) }
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
        for (buffer, range) in piece.parts {
            for frame in buffer.frames[range] {
                let bytes = UnsafeRawBufferPointer(start: buffer.base + frame.offset, count: frame.stride)
                self.recent.append(bytes, first: sequence, end: sequence + UInt64(frame.count), low: low)
                sequence += UInt64(frame.count)
            }
        }
        let used = appender.current?.position ?? 0
        let waiters = self.ledger.withLock { $0.committed(piece.records, used: used, milliseconds: milliseconds) }
        for waiter in waiters { waiter.wake() }
    }
}
