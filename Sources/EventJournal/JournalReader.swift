public import NIOCore

/// One sink's way out of the journal: fresh records from memory, older ones from disk, in order, without holes but for
/// what was lost.
public final class JournalReader: Sendable {
    private struct State {
        /// The next record to read.
        var position: UInt64
        var ticket: UInt64 = 0
        /// Where the next frame begins in the chunk read last.
        var hint: (chunk: RecentBatches.Chunk, offset: Int, first: UInt64)?
        var disk: DiskPosition?
    }

    private struct DiskPosition {
        var segment: UInt64
        var scanner: SegmentScanner
        /// Records of a frame that did not fit into the last slice.
        var rest: Rest?
    }

    private struct Rest {
        var memory: RecordCopy
        var count: Int
        var header: FrameHeader
    }

    /// The name of the sink.
    public let sink: String
    private let index: Int
    private let engine: JournalEngine
    private let state: Locked<State>

    init(_ engine: JournalEngine, sink: String, index: Int, position: UInt64) {
        self.engine = engine
        self.sink = sink
        self.index = index
        self.state = Locked(State(position: position))
    }

    /// The sequence of the next record to read.
    public var position: UInt64 { self.state.withLock { $0.position } }

    /// How many records wait to be read, lost ones included.
    public var available: UInt64 {
        let next = self.engine.nextSequence
        return self.state.withLock { next > $0.position ? next - $0.position : 0 }
    }

    /// What can be read now, at most so much, but at least one record if there is one. May read from disk.
    public func read(maxRecords: Int, maxBytes: Int) -> JournalSlice? {
        self.state.withLock { state in
            while state.position < self.engine.nextSequence {
                guard let slice = self.find(&state, maxRecords, maxBytes) else { continue }
                let range = slice.firstSequence..<slice.endSequence
                guard let next = self.engine.withLedger({ $0.took(self.index, range) }) else { return slice }
                // The bound took them in this moment.
                Self.go(to: next, &state)
            }
            return nil
        }
    }

    private func find(_ state: inout State, _ maxRecords: Int, _ maxBytes: Int) -> JournalSlice? {
        if let (chunk, used) = self.engine.recent.chunk(for: state.position) {
            state.disk = nil
            let slice = Self.read(&state, chunk, used, maxRecords, maxBytes)
            if let slice { return slice }
        }
        return self.readDisk(&state, maxRecords, maxBytes)
    }

    private static func go(to position: UInt64, _ state: inout State) {
        state.position = position
        state.hint = nil
        state.disk = nil
    }

    /// The sink is done with everything below `sequence`. Lower values than before change nothing.
    ///
    /// - Parameter quarantined: how many of the records since the last call were not delivered but kept aside.
    public func acknowledge(through sequence: UInt64, quarantined: UInt64 = 0) {
        self.engine.withLedger { $0.acknowledged(self.index, below: sequence, quarantined: quarantined) }
        self.engine.noteLow()
    }

    /// Reads on from the position that is acknowledged: after a failed delivery.
    public func rewind() {
        self.state.withLock { state in
            let position = self.engine.withLedger { ledger in
                ledger.gaveBack(self.index)
                return ledger.sinks[self.index].position
            }
            Self.go(to: position, &state)
        }
    }

    /// Calls `wake` once: when so many records can be read, at once if they can already. One caller at a time.
    ///
    /// - Returns: what to give to ``stopNotifying(_:)``.
    @discardableResult
    public func notify(records: Int, _ wake: @escaping @Sendable () -> Void) -> UInt64 {
        let (position, ticket) = self.state.withLock { state in
            state.ticket &+= 1
            return (state.position, state.ticket)
        }
        let sequence = position + UInt64(max(1, records)) - 1
        let waiter = JournalLedger.Waiter(sequence: sequence, ticket: ticket, wake: wake)
        let index = self.index
        self.engine.withLedger { $0.wait(index, waiter) }?.wake()
        return ticket
    }

    /// Ends a wait before its time, after calling who waits.
    ///
    /// - Parameter ticket: of the wait; without one, whoever waits now.
    public func stopNotifying(_ ticket: UInt64? = nil) {
        self.engine.withLedger { $0.stopWaiting(self.index, ticket: ticket) }?.wake()
    }

    /// The next records: as soon as `maxRecords` can be read, or what there is after `maxWait`; nil if that is nothing.
    ///
    /// - Parameter loop: whose clock ends the wait.
    public func next(
        maxRecords: Int,
        maxBytes: Int,
        maxWait: TimeAmount,
        on loop: any EventLoop,
        isolation: isolated (any Actor)? = #isolation
    ) async -> JournalSlice? {
        if maxWait > .zero, self.available < UInt64(max(1, maxRecords)) {
            var timer: Scheduled<Void>?
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                // Who waits is known before the timer can run out.
                let ticket = self.notify(records: maxRecords) { continuation.resume() }
                timer = loop.scheduleTask(in: maxWait) { self.stopNotifying(ticket) }
            }
            timer?.cancel()
        }
        return self.read(maxRecords: maxRecords, maxBytes: maxBytes)
    }

    // MARK: Memory

    private static func read(
        _ state: inout State,
        _ chunk: RecentBatches.Chunk,
        _ used: Int,
        _ maxRecords: Int,
        _ maxBytes: Int
    ) -> JournalSlice? {
        let first = chunk.first
        var offset = 0
        if let hint = state.hint, hint.chunk === chunk, hint.first == first { offset = hint.offset }
        var slice: JournalSlice?
        frames: while offset < used {
            let place = UnsafeRawPointer(chunk.base + offset)
            guard let header = FrameHeader.peek(place, room: used - offset) else { break }
            if header.endSequence > state.position {
                var sequence = header.firstSequence
                let records = UnsafeRawBufferPointer(
                    start: place + JournalFormat.frameHeaderBytes,
                    count: header.length
                )
                var walk = RecordWalk(records)
                while let record = walk.next() {
                    defer { sequence += 1 }
                    if sequence < state.position { continue }
                    if let slice, slice.count >= maxRecords || slice.bytes + record.length > maxBytes { break frames }
                    if slice == nil {
                        slice = JournalSlice(.chunk(chunk), first: sequence, milliseconds: header.milliseconds)
                    }
                    slice?.add(offset + JournalFormat.frameHeaderBytes + record.offset, length: record.length)
                    state.position = sequence + 1
                }
            }
            offset += header.stride
        }
        state.hint = (chunk, offset, first)
        return slice
    }

    // MARK: Disk

    private func readDisk(_ state: inout State, _ maxRecords: Int, _ maxBytes: Int) -> JournalSlice? {
        guard let (segment, isLast) = self.engine.withLedger({ $0.segment(for: state.position) }) else {
            // The rest is lost: there is no segment that could hold it.
            self.lose(&state, upTo: self.engine.nextSequence)
            return nil
        }
        if segment.first > state.position { self.lose(&state, upTo: segment.first) }
        if state.disk?.segment != segment.id { state.disk = self.open(segment) }
        guard var disk = state.disk else {
            self.lose(&state, upTo: segment.end)
            return nil
        }
        defer { if state.disk != nil { state.disk = disk } }
        disk.scanner.limit = segment.used
        if let slice = Self.take(&disk.rest, &state.position, maxRecords, maxBytes) { return slice }
        while let frame = disk.scanner.next() {
            guard frame.header.firstSequence < segment.end else { break }
            guard frame.header.endSequence > state.position else { continue }
            if frame.header.firstSequence > state.position { self.lose(&state, upTo: frame.header.firstSequence) }
            if frame.header.isVoid {
                state.position = frame.header.endSequence
                continue
            }
            disk.rest = Rest(memory: RecordCopy(frame.records), count: frame.records.count, header: frame.header)
            if let slice = Self.take(&disk.rest, &state.position, maxRecords, maxBytes) { return slice }
        }
        if !isLast || state.position < segment.end { self.lose(&state, upTo: segment.end) }
        state.disk = nil
        return nil
    }

    private func open(_ segment: JournalLedger.Segment) -> DiskPosition? {
        guard let file = try? self.engine.files.open(self.engine.paths.segment(segment.id), create: false) else {
            return nil
        }
        let seed = SegmentHeader.seed(id: segment.id, instance: segment.instance)
        return DiskPosition(segment: segment.id, scanner: SegmentScanner(file, seed: seed, limit: segment.used))
    }

    private static func take(
        _ rest: inout Rest?,
        _ position: inout UInt64,
        _ maxRecords: Int,
        _ maxBytes: Int
    ) -> JournalSlice? {
        guard let frame = rest else { return nil }
        var slice: JournalSlice?
        var sequence = frame.header.firstSequence
        var walk = RecordWalk(UnsafeRawBufferPointer(start: frame.memory.base, count: frame.count))
        while let record = walk.next() {
            defer { sequence += 1 }
            if sequence < position { continue }
            if let slice, slice.count >= maxRecords || slice.bytes + record.length > maxBytes { return slice }
            if slice == nil {
                slice = JournalSlice(.copy(frame.memory), first: sequence, milliseconds: frame.header.milliseconds)
            }
            slice?.add(record.offset, length: record.length)
            position = sequence + 1
        }
        rest = nil
        return slice
    }

    private func lose(_ state: inout State, upTo sequence: UInt64) {
        guard state.position < sequence else { return }
        let range = state.position..<sequence
        state.position = sequence
        self.engine.withLedger { $0.lose(range, .corrupt) }
    }
}
