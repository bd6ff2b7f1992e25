/// Which events there are, where they lie, and who has them: all of the journal's bookkeeping, without any I/O.
struct JournalLedger: Sendable {
    struct Segment: Sendable, Equatable {
        var id: UInt64
        var instance: InstanceID
        var first: UInt64
        /// The sequence after the last event.
        var end: UInt64
        /// Where the frames end in the file.
        var used: Int
        var fileBytes: Int
        /// When its first frame was committed, for the age of what is pending.
        var milliseconds: UInt64
    }

    struct Sink: Sendable {
        var name: String
        /// The first sequence not acknowledged.
        var position: UInt64
        /// The first sequence that the sink has not read: what lies between is in its hands.
        var taken: UInt64 = 0
        /// The position that is saved on disk.
        var saved: UInt64
        /// How many events in its hands only the saved position tells of.
        var savedHeld: UInt64 = 0
        var generation: UInt64
        var waiter: Waiter?
        /// What it acknowledged in this life, and how much of that it refused.
        var acknowledged: UInt64 = 0
        var quarantined: UInt64 = 0
        /// No position is saved before the sink had one.
        var hasCursor = true
    }

    /// Someone who wants to know when there is an event at `sequence`.
    struct Waiter: Sendable {
        var sequence: UInt64
        /// Tells it from those that the same sink had before.
        var ticket: UInt64
        var wake: @Sendable () -> Void
    }

    enum Loss { case bound, corrupt }

    /// Oldest first; the last is the one being written, unless there is none.
    private(set) var segments: [Segment] = []
    private(set) var sinks: [Sink] = []
    /// The next event's sequence.
    private(set) var next: UInt64
    /// What every sink has.
    private(set) var low: UInt64
    /// Ranges in low..<next that no sink will get, in order, apart from each other.
    private(set) var lost: [Range<UInt64>] = []
    /// Below it the bound took the segments: only what a sink has in its hands is left.
    private(set) var gone: UInt64 = 0
    private(set) var figures = JournalBooks()
    /// When which sequence was committed, oldest first: at most ``maxMarks``.
    private var marks: [(sequence: UInt64, milliseconds: UInt64)] = []
    private var lowestWanted = UInt64.max
    var isFull = false
    var hasFailed = false

    private static let maxMarks = 1024
    /// Between two marks, in milliseconds.
    private static let markDistance: UInt64 = 250

    init(
        maxBytes: Int,
        next: UInt64,
        sinks: [Sink],
        segments: [Segment],
        lost: [Range<UInt64>],
        voids: [Range<UInt64>] = []
    ) {
        self.next = next
        self.sinks = sinks
        self.segments = segments
        self.low = min(sinks.map(\.position).min() ?? next, next)
        for index in self.sinks.indices { self.sinks[index].taken = self.sinks[index].position }
        self.figures.maxBytes = maxBytes
        self.figures.appended = next - self.low
        self.figures.bytes = segments.reduce(0) { $0 + $1.used }
        self.marks = segments.map { ($0.first, $0.milliseconds) }
        // Never given to anyone, so neither appended nor dropped.
        for range in Self.apart(voids.map { $0.clamped(to: self.low..<next) }) {
            self.lost.append(range)
            self.figures.appended -= UInt64(range.count)
        }
        for range in lost { self.lose(range, .corrupt) }
    }

    /// The same sequences in order, each once.
    private static func apart(_ ranges: [Range<UInt64>]) -> [Range<UInt64>] {
        var apart: [Range<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let last = apart.last, range.lowerBound <= last.upperBound {
                apart[apart.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                apart.append(range)
            }
        }
        return apart
    }

    // MARK: The writer

    mutating func began(_ segment: Segment) {
        self.segments.append(segment)
        self.figures.bytes += segment.used
    }

    /// The segment's frames from `first` on are superseded by those of the next.
    mutating func abandonedSegment(_ id: UInt64, from first: UInt64) {
        guard let index = self.segments.firstIndex(where: { $0.id == id }) else { return }
        self.segments[index].end = min(self.segments[index].end, max(first, self.segments[index].first))
    }

    /// The newest segment holds once more what others held.
    ///
    /// - Returns: segments that hold nothing else and are forgotten.
    mutating func rewrote(_ id: UInt64, _ range: Range<UInt64>, used: Int) -> [UInt64] {
        guard var newest = self.segments.last, newest.id == id else { return [] }
        self.segments.removeLast()
        for index in self.segments.indices where self.segments[index].end > range.lowerBound {
            self.segments[index].end = max(range.lowerBound, self.segments[index].first)
        }
        let emptied = self.segments.filter { $0.first >= range.lowerBound }
        self.segments.removeAll { $0.first >= range.lowerBound }
        self.figures.bytes += used - newest.used - emptied.reduce(0) { $0 + $1.used }
        newest.end = range.upperBound
        newest.used = used
        self.segments.append(newest)
        return emptied.map(\.id)
    }

    /// - Returns: whether it held nothing and is forgotten.
    mutating func removeIfEmpty(_ id: UInt64) -> Bool {
        guard let last = self.segments.last, last.id == id, last.first == last.end else { return false }
        self.figures.bytes -= last.used
        self.segments.removeLast()
        return true
    }

    /// - Returns: who waited for it.
    mutating func committed(_ count: Int, used: Int, milliseconds: UInt64) -> [Waiter] {
        self.next &+= UInt64(count)
        self.figures.appended &+= UInt64(count)
        if !self.segments.isEmpty {
            let last = self.segments.count - 1
            self.figures.bytes += used - self.segments[last].used
            self.segments[last].end = self.next
            self.segments[last].used = used
        }
        self.mark(self.next &- UInt64(count), milliseconds)
        if self.sinks.isEmpty { self.raiseLow() }
        return self.next >= self.lowestWanted ? self.takeWaiters() : []
    }

    /// An event that is answered though it is not recorded.
    mutating func leftOut(_ count: Int) {
        self.figures.appended &+= UInt64(count)
        self.figures.droppedAtBound &+= UInt64(count)
    }

    mutating func synced(failed: Bool) {
        if failed { self.figures.syncErrors &+= 1 } else { self.figures.syncs &+= 1 }
    }

    // MARK: The sinks

    /// The sink is done with everything below `sequence`.
    mutating func acknowledged(_ sink: Int, below sequence: UInt64, quarantined: UInt64 = 0) {
        let (start, end) = (self.sinks[sink].position, min(sequence, self.next))
        guard end > start else { return }
        self.sinks[sink].position = end
        let lost = self.lost.reduce(0) { $0 + UInt64($1.clamped(to: start..<end).count) }
        self.sinks[sink].acknowledged &+= end - start - lost
        self.sinks[sink].quarantined &+= min(quarantined, end - start - lost)
        self.raiseLow()
    }

    /// The events are gone, whoever had not got them yet.
    mutating func lose(_ range: Range<UInt64>, _ loss: Loss) {
        var rest = range.clamped(to: self.low..<self.next)
        var fresh: [Range<UInt64>] = []
        for known in self.lost where known.overlaps(rest) {
            if known.lowerBound > rest.lowerBound { fresh.append(rest.lowerBound..<known.lowerBound) }
            rest = min(max(known.upperBound, rest.lowerBound), rest.upperBound)..<rest.upperBound
        }
        if !rest.isEmpty { fresh.append(rest) }
        for part in fresh {
            switch loss {
            case .bound: self.figures.droppedAtBound &+= UInt64(part.count)
            case .corrupt: self.figures.droppedAsCorrupt &+= UInt64(part.count)
            }
        }
        self.lost = Self.apart(self.lost + fresh)
    }

    /// Gives up the oldest segment that is not being written.
    ///
    /// What every sink has in its hands is delivered from memory yet, and not dropped. The positions must be saved before
    /// the segment's file goes.
    /// - Returns: the segment's id; nil when there is none.
    mutating func dropOldest() -> UInt64? {
        guard self.segments.count > 1 else { return nil }
        let end = self.segments[0].end
        let untaken = max(self.low, self.sinks.map(\.taken).min() ?? end)
        if untaken < end { self.lose(untaken..<end, .bound) }
        self.gone = max(self.gone, end)
        self.raiseLow()
        return self.segments[0].id
    }

    /// A sink has read the events and will deliver them; what it has in its hands is not dropped any more.
    ///
    /// - Returns: where to go on reading when they were dropped just before.
    mutating func took(_ sink: Int, _ range: Range<UInt64>) -> UInt64? {
        self.sinks[sink].taken = min(range.lowerBound, self.next)
        guard range.lowerBound >= self.gone else {
            self.lose(range.lowerBound..<self.gone, .bound)
            self.raiseLow()
            return self.gone
        }
        // Perhaps beyond `next`: an event can be read from memory a moment before it is in the books.
        self.sinks[sink].taken = range.upperBound
        return nil
    }

    /// The sink reads once more what it did not acknowledge.
    mutating func gaveBack(_ sink: Int) { self.sinks[sink].taken = self.sinks[sink].position }

    /// What the bound left of the sink's events in its hands alone: a process that ends takes them along.
    private func held(_ sink: Sink) -> UInt64 {
        let range = sink.position..<max(sink.position, min(sink.taken, self.gone))
        return self.lost.reduce(UInt64(range.count)) { $0 - UInt64($1.clamped(to: range).count) }
    }

    private mutating func raiseLow() {
        // Nothing below is left for a sink with empty hands.
        for index in self.sinks.indices where self.sinks[index].position >= self.sinks[index].taken {
            self.sinks[index].position = max(self.sinks[index].position, self.gone)
            self.sinks[index].taken = max(self.sinks[index].taken, self.sinks[index].position)
        }
        let lowest = self.sinks.map(\.position).min() ?? self.next
        guard lowest > self.low else { return }
        var count = lowest - self.low
        for range in self.lost { count -= UInt64(range.clamped(to: self.low..<lowest).count) }
        self.figures.acknowledged &+= count
        self.low = lowest
        self.lost.removeAll { $0.upperBound <= lowest }
        if let first = self.lost.first, first.lowerBound < lowest { self.lost[0] = lowest..<first.upperBound }
        // The mark that covers the oldest pending event stays.
        while self.marks.count > 1, self.marks[1].sequence <= lowest { self.marks.removeFirst() }
    }

    // MARK: Waiting

    /// - Returns: the waiter back when there is no need to wait.
    mutating func wait(_ sink: Int, _ waiter: Waiter) -> Waiter? {
        guard waiter.sequence >= self.next else { return waiter }
        self.sinks[sink].waiter = waiter
        self.lowestWanted = min(self.lowestWanted, waiter.sequence &+ 1)
        return nil
    }

    /// - Parameter ticket: nil means whoever waits.
    mutating func stopWaiting(_ sink: Int, ticket: UInt64?) -> Waiter? {
        guard let waiter = self.sinks[sink].waiter, ticket == nil || ticket == waiter.ticket else { return nil }
        self.sinks[sink].waiter = nil
        return waiter
    }

    private mutating func takeWaiters() -> [Waiter] {
        var taken: [Waiter] = []
        self.lowestWanted = .max
        for index in self.sinks.indices {
            guard let waiter = self.sinks[index].waiter else { continue }
            if waiter.sequence < self.next {
                taken.append(waiter)
                self.sinks[index].waiter = nil
            } else {
                self.lowestWanted = min(self.lowestWanted, waiter.sequence &+ 1)
            }
        }
        return taken
    }

    // MARK: Positions on disk

    struct Cursor: Sendable {
        var sink: Int
        var position: UInt64
        /// Events below the position that nothing but the sink has: lost when it does not deliver them.
        var held: UInt64
        var generation: UInt64
    }

    /// What is to be saved: positions that moved.
    func unsavedCursors() -> [Cursor] {
        self.sinks.indices.compactMap { index in
            let sink = self.sinks[index]
            let position = max(sink.position, self.gone)
            let held = self.held(sink)
            guard position > sink.saved || held != sink.savedHeld || !sink.hasCursor else { return nil }
            return Cursor(sink: index, position: position, held: held, generation: sink.generation + 1)
        }
    }

    mutating func saved(_ cursor: Cursor) {
        self.sinks[cursor.sink].saved = max(cursor.position, self.sinks[cursor.sink].saved)
        self.sinks[cursor.sink].savedHeld = cursor.held
        self.sinks[cursor.sink].generation = cursor.generation
        self.sinks[cursor.sink].hasCursor = true
    }

    /// Whether a segment waits only for positions to be saved.
    var hasSegmentToFree: Bool {
        self.segments.count > 1 && self.segments[0].end <= max(self.low, self.gone)
    }

    /// Whether a spare is to be made: the segment that is written to is missing or half used, or the sinks are so far behind
    /// that none will be recycled before it is full.
    ///
    /// Until it is half used the one before may have been acknowledged and be recycled: no space, no zeros, no metadata. One
    /// that is smaller than `bytes` will not be, so the spare is begun as soon as events come.
    func needsSpare(of bytes: Int) -> Bool {
        guard let current = self.segments.last, self.segments.count <= 2 else { return true }
        let comesBack = self.segments.count == 1 || self.segments[0].fileBytes == bytes
        return (comesBack ? 2 : 8) * current.used >= current.fileBytes
    }

    /// Takes the oldest segment out when every sink has all of it, and disk knows.
    mutating func freeOldest() -> Segment? {
        guard self.segments.count > 1 else { return nil }
        let saved = self.sinks.map(\.saved).min() ?? self.next
        guard self.segments[0].end <= saved else { return nil }
        self.figures.bytes -= self.segments[0].used
        return self.segments.removeFirst()
    }

    // MARK: Views

    /// The segment that holds the event, or else the first one after it.
    func segment(for sequence: UInt64) -> (segment: Segment, isLast: Bool)? {
        // Few dozen as a rule, and the sought one is nearly always the first or the last.
        guard let index = self.segments.firstIndex(where: { $0.end > sequence }) else { return nil }
        return (self.segments[index], index == self.segments.count - 1)
    }

    var fileBytes: Int { self.segments.reduce(0) { $0 + $1.fileBytes } }

    var state: JournalState {
        if self.hasFailed { return .failed }
        if self.isFull { return .full }
        return self.figures.bytes > self.figures.maxBytes / 5 * 4 ? .high : .ok
    }

    var books: JournalBooks {
        var books = self.figures
        books.pending = self.countPending(from: self.low)
        books.state = self.state
        books.sinks = self.sinks.map { sink in
            JournalBooks.SinkPosition(
                name: sink.name,
                nextSequence: sink.position,
                delivered: sink.acknowledged &- sink.quarantined,
                quarantined: sink.quarantined,
                pending: self.countPending(from: sink.position),
                oldestPendingMilliseconds: self.time(of: sink.position)
            )
        }
        return books
    }

    private func countPending(from position: UInt64) -> UInt64 {
        guard position < self.next else { return 0 }
        return self.lost.reduce(self.next - position) { $0 - UInt64($1.clamped(to: position..<self.next).count) }
    }

    private func time(of sequence: UInt64) -> UInt64? {
        guard sequence < self.next else { return nil }
        return (self.marks.last { $0.sequence <= sequence } ?? self.marks.first)?.milliseconds
    }

    private mutating func mark(_ sequence: UInt64, _ milliseconds: UInt64) {
        // Nothing was pending before this one: what came earlier tells nothing of its age.
        if sequence == self.low { self.marks.removeAll(keepingCapacity: true) }
        if let last = self.marks.last, milliseconds < last.milliseconds &+ Self.markDistance { return }
        if self.marks.count == Self.maxMarks {
            // Coarser, not longer: every second one of a long backlog is enough.
            self.marks = self.marks.indices.filter { $0 % 2 == 0 }.map { self.marks[$0] }
        }
        self.marks.append((sequence, milliseconds))
    }
}
