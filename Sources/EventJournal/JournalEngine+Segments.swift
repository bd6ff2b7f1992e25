import Logging

/// One segment after the other, and what no sync covered once more.
extension JournalEngine {
    /// - Returns: why there is no room, nil when there is.
    func ensureRoom(_ bytes: Int, _ appender: inout Appender) -> JournalRefusal? {
        if let current = appender.current, bytes <= current.limit - current.position { return nil }
        appender.current = nil
        return self.rotate(&appender, bytes: self.configuration.effectiveSegmentBytes)
    }

    func rotate(_ appender: inout Appender, bytes: Int) -> JournalRefusal? {
        do {
            var frames = appender.mustRewrite ? self.unsyncedFrames(from: appender.syncedThrough) : []
            repeat {
                self.dropOldestIfBound(bytes)
                let (spare, id) = try self.spares.take(bytes: bytes) { self.fits($0) }
                let first = frames.first?.header.firstSequence ?? self.nextSequence
                try self.begin(spare, id: id, first: first, &appender)
                try self.rewrite(&frames, &appender)
            } while !frames.isEmpty
            appender.mustRewrite = false
            return nil
        } catch {
            let refusal: JournalRefusal = SystemError.isSpace(error.code) ? .full : .unavailable
            self.fail(refusal)
            return refusal
        }
    }

    func begin(
        _ spare: SpareSegments.Spare,
        id: UInt64,
        first: UInt64,
        _ appender: inout Appender
    ) throws(IOFailure) {
        let header = SegmentHeader(
            id: id,
            firstSequence: first,
            segmentBytes: spare.bytes,
            instance: self.instance,
            createdMilliseconds: JournalClock.wallMilliseconds()
        )
        let limit = spare.bytes - JournalFormat.block
        try spare.file.writeHeader(at: [0, limit]) { header.write(to: $0) }
        try self.files.rename(spare.path, to: self.paths.segment(id))
        appender.directoryIsUnsynced = true
        if self.configuration.durability != .fsync { appender.unsynced.append(spare.file) }
        if appender.syncedThrough == 0 { appender.syncedThrough = first }
        appender.current = Current(
            file: spare.file,
            id: id,
            seed: header.seed,
            position: JournalFormat.block,
            limit: limit
        )
        let segment = JournalLedger.Segment(
            id: id,
            instance: self.instance,
            first: first,
            end: first,
            used: JournalFormat.block,
            fileBytes: spare.bytes,
            milliseconds: header.createdMilliseconds
        )
        self.ledger.withLock { $0.began(segment) }
    }

    struct UnsyncedFrame {
        var header: FrameHeader
        var bytes: RecordCopy
    }

    /// The frames that no sync covers, from memory.
    func unsyncedFrames(from sequence: UInt64) -> [UnsyncedFrame] {
        var frames: [UnsyncedFrame] = []
        for (chunk, used) in self.recent.chunks(from: sequence) {
            var offset = 0
            while offset < used, let header = FrameHeader.peek(chunk.base + offset, room: used - offset) {
                if header.firstSequence >= sequence {
                    let stride = UnsafeRawBufferPointer(start: chunk.base + offset, count: header.stride)
                    frames.append(UnsyncedFrame(header: header, bytes: RecordCopy(stride)))
                }
                offset += header.stride
            }
        }
        return frames
    }

    /// Puts as many of the frames as fit, with their sequences, into the segment that has just begun.
    func rewrite(_ frames: inout [UnsyncedFrame], _ appender: inout Appender) throws(IOFailure) {
        guard let first = frames.first?.header.firstSequence, let current = appender.current else { return }
        var position = current.position
        var end = first
        do {
            while let frame = frames.first, position + frame.header.stride <= current.limit {
                frame.header.write(to: frame.bytes.base, seed: current.seed)
                let bytes = UnsafeRawBufferPointer(start: frame.bytes.base, count: frame.header.stride)
                try current.file.write([bytes], at: position)
                position += frame.header.stride
                end = frame.header.endSequence
                frames.removeFirst()
            }
            try current.file.sync()
            try self.files.syncDirectory(self.paths.directory)
        } catch {
            self.abandon(&appender, from: 0)
            throw error
        }
        appender.current?.position = position
        appender.syncedThrough = end
        let emptied = self.ledger.withLock { $0.rewrote(current.id, first..<end, used: position) }
        for id in emptied { try? self.files.remove(self.paths.segment(id)) }
    }

    /// Nothing is written to the segment any more; its frames from `first` on do not count.
    func abandon(_ appender: inout Appender, from first: UInt64) {
        guard let current = appender.current.take() else { return }
        let isEmpty = self.ledger.withLock { ledger in
            ledger.abandonedSegment(current.id, from: first)
            return ledger.removeIfEmpty(current.id)
        }
        if isEmpty { try? self.files.remove(self.paths.segment(current.id)) }
    }

    func fits(_ bytes: Int) -> Bool {
        self.ledger.withLock { $0.fileBytes } + bytes <= self.configuration.maxBytes
    }
}
