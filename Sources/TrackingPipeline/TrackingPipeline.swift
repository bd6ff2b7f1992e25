public import EventJournal
public import ProgramCache
public import TrackingModel

/// What becomes of one tracking request: look the program up, judge, make the event, hand it to the journal.
///
/// One for each event loop. Everything is synchronous: where the program isn't in memory the verdict says so, and the
/// request comes again with what the read brought. Knows no HTTP and no Redis.
public struct TrackingPipeline {
    public enum Verdict {
        /// The event is in this batch of the loop's lane: the answer may leave when the batch is settled.
        case accepted(BatchID)
        /// The policy for a full journal lets the answer leave without a record.
        case acceptedUnrecorded
        case refused(Refusal)
        /// The program has to be read first.
        case programMissing
    }

    public var cache: ProgramCache
    private let lane: JournalLane
    private var messageIDs = MessageIDGenerator()
    private var request = TrackingRequest()

    public init(cache: ProgramCache, lane: JournalLane) {
        self.cache = cache
        self.lane = lane
    }

    /// Announces a request as soon as its program's id is known; the rest of it is read while the program is on its way from
    /// memory.
    public mutating func prefetch(_ programID: Span<UInt8>) { self.cache.prefetch(programID) }

    /// - Parameters:
    ///   - arrived: what a read brought that this very request waited for.
    ///   - answer: called for an accepted request, with what the answer is made of.
    public mutating func track(
        _ incoming: borrowing IncomingRequest,
        at moment: Moment,
        arrived: ProgramCache.Outcome?,
        answer: (borrowing AcceptedEvent) -> Void
    ) -> Verdict {
        guard self.request.read(query: incoming.query) else { return .refused(.badRequest) }
        let program: RenderedProgram
        switch arrived.map(Self.lookup) ?? self.cache.lookup(incoming.programID, now: moment.monotonic) {
        case .hit(let found), .stale(let found): program = found
        case .noID: return .refused(.badRequest)
        case .unknown: return .refused(.programNotFound)
        case .malformed: return .refused(.unavailable)
        case .miss: return arrived == nil ? .programMissing : .refused(.unavailable)
        }
        if let refusal = judge(program, self.request, at: moment.wall) { return .refused(refusal) }
        let looks = HeaderText(incoming.userAgent)
        guard looks.isText, incoming.referrer.isEmpty || HeaderText(incoming.referrer).isText else {
            let userAgent = HeaderText.repaired(incoming.userAgent)
            let referrer = HeaderText.repaired(incoming.referrer)
            return self.accept(
                program,
                userAgent: userAgent.span,
                referrer: referrer.span,
                clientAddress: incoming.clientAddress,
                at: moment,
                answer: answer
            )
        }
        return self.accept(
            program,
            userAgent: incoming.userAgent,
            looks: looks,
            referrer: incoming.referrer,
            clientAddress: incoming.clientAddress,
            at: moment,
            answer: answer
        )
    }

    private mutating func accept(
        _ program: consuming RenderedProgram,
        userAgent: Span<UInt8>,
        looks: HeaderText? = nil,
        referrer: Span<UInt8>,
        clientAddress: Span<UInt8>,
        at moment: Moment,
        answer: (borrowing AcceptedEvent) -> Void
    ) -> Verdict {
        let event = AcceptedEvent(
            program: program,
            messageID: self.messageIDs.next(at: moment.wall),
            time: moment.wall,
            userAgent: userAgent,
            referrer: referrer,
            clientAddress: clientAddress,
            looks: looks
        )
        switch self.record(event) {
        case .queued(let batch):
            answer(event)
            return .accepted(batch)
        case .unrecorded:
            answer(event)
            return .acceptedUnrecorded
        case .refused(.full): return .refused(.journalFull)
        case .refused(.unavailable): return .refused(.unavailable)
        case .refused(.overloaded): return .refused(.overloaded)
        }
    }

    private func record(_ event: borrowing AcceptedEvent) -> AppendResult {
        switch self.lane.open(upTo: event.maximumEventBytes(self.request)) {
        case .open(let record):
            var bytes = ByteWriter(record.place)
            let id = event.putEvent(self.request, to: &bytes)
            return self.lane.keep(record, WrittenRecord(length: bytes.count, key: id))
        case .none(let result):
            return result
        }
    }

    private static func lookup(_ outcome: ProgramCache.Outcome) -> ProgramCache.Lookup {
        switch outcome {
        case .program(let program, _): .hit(program)
        case .unknown: .unknown
        case .malformed: .malformed
        case .unreachable: .miss
        }
    }
}
