import Glibc
public import Logging
public import StreamSource
import TrackingModel

/// The function itself: an event's records become items and are stored, and Lambda is told from where on they are not.
///
/// Without a place for dead letters a record that can't be used is an entry that fails: Lambda gives it again, alone at
/// last, and then to the mapping's failure destination. With one it is kept there and the batch succeeds.
public struct BatchFunction<Handler: RecordHandler>: Sendable {
    private typealias Work = (entry: Int, item: Handler.Item, record: StreamRecord)

    /// Records that are stored together: what is stored counts even where time runs out.
    private let chunkRecords = 100
    /// Attempts to store a chunk.
    private let maximumAttempts = 8
    /// The answer leaves so long before the deadline.
    private let margin = Duration.milliseconds(300)

    private let handler: Handler
    private let deadLetters: (any DeadLetterPlace)?
    private let logger: Logger

    public init(_ handler: Handler, deadLetters: (any DeadLetterPlace)?, logger: Logger) {
        self.handler = handler
        self.deadLetters = deadLetters
        self.logger = logger
    }

    /// - Returns: `{"batchItemFailures":[…]}`, or why the event as a whole is none.
    public func result(of invocation: Invocation) async -> Result<[UInt8], FunctionError> {
        let event: KinesisEvent
        do throws(FunctionError) { event = try KinesisEvent(invocation.event) } catch { return .failure(error) }
        let books = BatchBooks(event)
        let left = Duration.milliseconds(max(0, invocation.deadline - Self.now())) - self.margin
        let work = Task { await self.work(event, books) }
        // Whoever is slow must not hold the answer: the task is told to end, and not waited for.
        let alarm = Task {
            do { try await Task.sleep(for: max(left, .zero)) } catch { return false }
            work.cancel()
            return true
        }
        let isLate = await Self.first(work, alarm)
        if isLate { self.logger.warning("not everything was stored in time") }
        return .success(books.answer)
    }

    /// - Returns: whether the alarm came first.
    private static func first(_ work: Task<Void, Never>, _ alarm: Task<Bool, Never>) async -> Bool {
        let (ends, teller) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingOldest(1))
        Task {
            await work.value
            alarm.cancel()
            teller.yield(false)
        }
        Task { if await alarm.value { teller.yield(true) } }
        for await isLate in ends { return isLate }
        return false
    }

    private func work(_ event: KinesisEvent, _ books: BatchBooks) async {
        var letters: [(entry: Int, letter: DeadLetter)] = []
        var waiting: [Work] = []
        for (index, entry) in event.entries.enumerated() {
            for record in entry.records {
                do throws(Damage) {
                    if let damage = record.damage { throw damage }
                    waiting.append((index, try self.handler.item(of: record), record))
                } catch {
                    letters.append((index, self.letter(record, error, event)))
                }
            }
        }
        await self.bury(letters, books)
        if self.deadLetters == nil, self.handler.isOrdered, let lowest = letters.first?.entry {
            // What follows is given again, and must not come before what stands here.
            waiting.removeAll { $0.entry >= lowest }
        }
        var start = 0
        while start < waiting.count, !Task.isCancelled {
            let end = min(start + self.chunkRecords, waiting.count)
            guard await self.store(Array(waiting[start..<end]), event, books) else { return }
            start = end
        }
    }

    /// - Returns: false where what follows should not be tried.
    private func store(_ chunk: [Work], _ event: KinesisEvent, _ books: BatchBooks) async -> Bool {
        var chunk = chunk
        for attempt in 0..<self.maximumAttempts where !Task.isCancelled {
            if attempt > 0 { await Self.pause(attempt) }
            do throws(StreamFailure) {
                let result = try await self.handler.store(chunk.map(\.item), checkpoints: [])
                let damages = result.damages
                let refused = chunk.indices.filter { damages[$0] != nil }
                let letters = refused.map { place in
                    (chunk[place].entry, self.letter(chunk[place].record, damages[place], event))
                }
                await self.bury(letters, books)
                chunk = chunk.indices.filter { damages[$0] == nil }.map { chunk[$0] }
                if case .refused = result { continue }
                for work in chunk { books.settled(work.entry) }
                return refused.isEmpty || self.deadLetters != nil || !self.handler.isOrdered
            } catch {
                self.logger.error("can't be stored at the moment", metadata: ["cause": "\(error)"])
            }
        }
        return false
    }

    /// Nothing where there is no place for them.
    private func bury(_ letters: [(entry: Int, letter: DeadLetter)], _ books: BatchBooks) async {
        guard let first = letters.first else { return }
        self.logger.warning(
            self.deadLetters == nil ? "records can't be used" : "records can't be used and become dead letters",
            metadata: [
                "records": "\(letters.count)", "origin": "\(first.letter.record.origin)",
                "reason": "\(first.letter.damage.reason.rawValue)", "detail": "\(first.letter.damage.sentence)",
            ]
        )
        guard let deadLetters = self.deadLetters else { return }
        do throws(StreamFailure) {
            try await deadLetters.keep(letters.map(\.letter))
            for letter in letters { books.settled(letter.entry) }
        } catch {
            self.logger.error("dead letters can't be kept at the moment", metadata: ["cause": "\(error)"])
        }
    }

    private func letter(_ record: StreamRecord, _ damage: Damage?, _ event: KinesisEvent) -> DeadLetter {
        DeadLetter(
            source: event.source,
            record: record,
            damage: damage ?? Damage(.notStorable, "It can't be stored."),
            time: Timestamp(milliseconds: Self.now())
        )
    }

    /// 50 ms, doubled with each attempt up to 1.6 s, shortened at random by up to a half.
    private static func pause(_ attempt: Int) async {
        let longest = 50 << min(attempt, 5)
        try? await Task.sleep(for: .milliseconds(Int.random(in: longest / 2...longest)))
    }

    /// Milliseconds since the Unix epoch: deadlines are given so.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
    }
}

extension StoreResult {
    fileprivate var damages: [Int: Damage] {
        switch self {
        case .stored: [:]
        case .refused(let damages), .partly(_, _, let damages): damages
        }
    }
}
