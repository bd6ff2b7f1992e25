import Logging

/// One segment after the other, and what no sync covered once more.
extension JournalEngine {
    /// - Returns: why there is no room, nil when there is.
    func ensureRoom(_ bytes: Int, _ appender: inout Appender) -> JournalRefusal? {
        // What is written once more may leave too little of a new segment.
        for _ in 0..<2 {
            if self.hasRoom(bytes, appender) { return nil }
            appender.current = nil
            let whole = self.configuration.effectiveSegmentBytes
            if let refusal = self.rotate(&appender, bytes: whole, for: bytes) { return refusal }
        }
        if self.hasRoom(bytes, appender) { return nil }
        self.fail(.unavailable)
        return .unavailable
    }

    private func hasRoom(_ bytes: Int, _ appender: borrowing Appender) -> Bool {
        appender.current.map { bytes <= $0.limit - $0.position } ?? false
    }

    /// - Parameters:
    ///   - bytes: of the new segment at most, if it has to be made; so many have to be free.
    ///   - needed: of frames that it has to take.
    func rotate(_ appender: inout Appender, bytes: Int, for needed: Int = 0) -> JournalRefusal? {
        for id in appender.strays { try? self.files.remove(self.paths.segment(id)) }
        appender.strays = []
        do throws(IOFailure) {
            try self.secure(&appender)
            // What a failed sync left in doubt may need all of one; else the next one can be whole again.
            let least = max(self.configuration.firstSegmentBytes, needed + 2 * JournalFormat.block)
            let enough = appender.behind.mustRewrite ? bytes : min(bytes, least)
            let (spare, id) = try self.spares.awaiting(enough) { () throws(IOFailure) in
                self.dropOldestIfBound(bytes)
                return try self.spares.take(bytes: bytes, enough: enough) { self.fits($0) }
            }
            do throws(IOFailure) {
                let frames = appender.behind.mustRewrite ? self.unsyncedFrames(appender.behind) : []
                try self.begin(spare, id: id, with: frames, &appender)
            } catch {
                // Nothing counts on it yet, and it must not take space from the next attempt.
                try? self.files.remove(spare.path)
                try? self.files.remove(self.paths.segment(id))
                throw error
            }
            return nil
        } catch {
            let refusal: JournalRefusal = SystemError.isSpace(error.code) ? .full : .unavailable
            self.fail(refusal)
            return refusal
        }
    }

    /// What a start could not sync is written once more, whole and through another descriptor: a sync that failed may have
    /// taken anything of the file.
    private func secure(_ appender: inout Appender) throws(IOFailure) {
        while let segment = appender.unsecured.last {
            guard self.ledger.withLock({ $0.segments.contains { $0.id == segment.id } }) else {
                appender.unsecured.removeLast()
                continue
            }
            let file = try self.files.open(self.paths.segment(segment.id), create: false)
            try file.rewrite(JournalFormat.block..<max(segment.used, JournalFormat.block))
            try self.timedSync(file)
            appender.unsecured.removeLast()
        }
    }

    /// Makes a spare file the segment that is written to.
    ///
    /// - Parameter frames: what a failed sync left in doubt. It is durable in the new file before the file gets its name,
    ///   since from then on it stands for what older segments hold from its first sequence on.
    private func begin(
        _ spare: SpareSegments.Spare,
        id: UInt64,
        with frames: [UnsyncedFrame],
        _ appender: inout Appender
    ) throws(IOFailure) {
        let header = SegmentHeader(
            id: id,
            firstSequence: frames.first?.header.firstSequence ?? self.nextSequence,
            segmentBytes: spare.bytes,
            instance: self.instance,
            createdMilliseconds: JournalClock.wallMilliseconds()
        )
        let limit = spare.bytes - JournalFormat.block
        try spare.file.writeHeader(at: [0, limit]) { header.write(to: $0) }
        let position = try self.rewrite(frames, to: spare.file, seed: header.seed, limit: limit)
        if !frames.isEmpty { try self.timedSync(spare.file) }
        try self.files.rename(spare.path, to: self.paths.segment(id))
        appender.directoryIsUnsynced = frames.isEmpty
        if !frames.isEmpty { try self.files.syncDirectory(self.paths.directory) }
        let segment = JournalLedger.Segment(
            id: id,
            instance: self.instance,
            first: header.firstSequence,
            end: header.firstSequence,
            used: JournalFormat.block,
            fileBytes: spare.bytes,
            milliseconds: header.createdMilliseconds
        )
        self.ledger.withLock { $0.began(segment) }
        appender.current = Current(file: spare.file, id: id, seed: header.seed, position: position, limit: limit)
        self.entered(header.firstSequence..<(frames.last?.header.endSequence ?? header.firstSequence), &appender)
    }

    /// - Parameter rewritten: what the new segment holds already, empty as a rule.
    private func entered(_ rewritten: Range<UInt64>, _ appender: inout Appender) {
        guard self.configuration.durability != .fsync, let current = appender.current else { return }
        if appender.behind.mustRewrite || appender.behind.syncedThrough == 0 {
            let syncedThrough = max(rewritten.upperBound, appender.behind.syncedThrough)
            appender.behind = Behind(syncedThrough: syncedThrough, rewrites: appender.behind.rewrites + 1)
        }
        self.noteUnsynced(current.file, bytes: 0, &appender)
        guard !rewritten.isEmpty else { return }
        let emptied = self.ledger.withLock { $0.rewrote(current.id, rewritten, used: current.position) }
        for id in emptied { try? self.files.remove(self.paths.segment(id)) }
    }

    private struct UnsyncedFrame {
        var header: FrameHeader
        var bytes: RecordCopy
    }

    /// The frames that no sync covers, from memory; without those that every sink has.
    private func unsyncedFrames(_ behind: Behind) -> [UnsyncedFrame] {
        var frames: [UnsyncedFrame] = []
        for (chunk, used) in self.recent.chunks(from: behind.syncedThrough) {
            var offset = 0
            while offset < used, let header = FrameHeader.peek(chunk.base + offset, room: used - offset) {
                if header.firstSequence >= behind.syncedThrough {
                    let stride = UnsafeRawBufferPointer(start: chunk.base + offset, count: header.stride)
                    frames.append(UnsyncedFrame(header: header, bytes: RecordCopy(stride)))
                }
                offset += header.stride
            }
        }
        return frames
    }

    /// - Returns: where the frames end.
    private func rewrite(
        _ frames: [UnsyncedFrame],
        to file: any JournalFile,
        seed: UInt32,
        limit: Int
    ) throws(IOFailure) -> Int {
        var position = JournalFormat.block
        for frame in frames {
            guard position + frame.header.stride <= limit else {
                throw IOFailure(code: SystemError.noSpace, call: "rewrite", path: "")
            }
            frame.header.write(to: frame.bytes.base, seed: seed)
            try file.write([UnsafeRawBufferPointer(start: frame.bytes.base, count: frame.header.stride)], at: position)
            position += frame.header.stride
        }
        return position
    }

    /// Nothing is written to the segment any more; its frames from `first` on do not count. Touches no file: an event loop
    /// may be here.
    func abandon(_ appender: inout Appender, from first: UInt64) {
        guard let current = appender.current.take() else { return }
        let isEmpty = self.ledger.withLock { ledger in
            ledger.abandonedSegment(current.id, from: first)
            return ledger.removeIfEmpty(current.id)
        }
        if isEmpty { appender.strays.append(current.id) }
    }

    func fits(_ bytes: Int) -> Bool {
        self.ledger.withLock { $0.fileBytes } + bytes <= self.configuration.maxBytes
    }
}
