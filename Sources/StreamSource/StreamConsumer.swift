import Glibc
public import Logging
public import ServiceLifecycle
import Synchronization
import TrackingModel

/// Brings a stream's records to where a handler stores them, each exactly once as far as the handler tells duplicates.
///
/// `run` returns when the source has ended, or after a graceful shutdown when what was read is stored.
public final class StreamConsumer<Handler: RecordHandler>: Service {
    private struct Work {
        var batch = RecordBatch()
        var items: [(item: Handler.Item, record: StreamRecord)] = []
        var letters: [DeadLetter] = []
    }

    private let source: any RecordSource
    private let handler: Handler
    private let deadLetters: any DeadLetterPlace
    private let limits: BatchLimit
    /// How long a shutdown goes on trying.
    private let drainTimeout: Duration
    private let logger: Logger
    private let state = Mutex(ConsumerBooks())
    private let isStopping = Atomic(false)

    public init(
        _ source: any RecordSource,
        to handler: Handler,
        deadLetters: any DeadLetterPlace,
        limits: BatchLimit = BatchLimit(),
        drainTimeout: Duration = .seconds(10),
        logger: Logger
    ) {
        self.source = source
        self.handler = handler
        self.deadLetters = deadLetters
        self.limits = limits
        self.drainTimeout = drainTimeout
        self.logger = logger
    }

    /// What it did so far; never waits.
    public var books: ConsumerBooks { self.state.withLock { $0 } }

    public func run() async throws {
        await withGracefulShutdownHandler {
            await self.consume()
        } onGracefulShutdown: {
            self.isStopping.store(true, ordering: .relaxed)
        }
        await self.source.close()
    }

    private func consume() async {
        let start = ContinuousClock.now
        var machine = ConsumerMachine()
        var work = Work()
        var toldToStop = false
        var action = machine.began()
        while true {
            if !toldToStop, self.isStopping.load(ordering: .relaxed) || Task.isCancelled {
                toldToStop = true
                machine.stopRequested(drainEnd: ContinuousClock.now - start + self.drainTimeout)
                if machine.step == .read { return }
            }
            switch action {
            case .perform(let step):
                do throws(StreamFailure) {
                    let outcome = try await self.perform(step, &work)
                    self.note(success: step)
                    action = machine.succeeded(outcome)
                } catch {
                    self.note(failure: error, of: step)
                    action = machine.failed(at: ContinuousClock.now - start, jitter: .random(in: 0..<1))
                }
            case .pause(let duration):
                await self.pause(duration)
                action = machine.pausePassed()
            case .end: return
            }
        }
    }

    private func perform(
        _ step: ConsumerMachine.Step,
        _ work: inout Work
    ) async throws(StreamFailure) -> ConsumerMachine.Outcome {
        switch step {
        case .read: return try await self.read(&work)
        case .keep:
            try await self.deadLetters.keep(work.letters)
            self.count(work.letters)
            work.letters = []
            return .kept
        case .store: return try await self.store(&work)
        case .commit:
            try await self.source.commit(work.batch)
            let behindSince =
                work.batch.isMoreReady ? self.age(of: work.batch.records.last, work.items.last?.item) : nil
            self.state.withLock { $0.behindSince = behindSince }
            work = Work()
            return .committed
        }
    }

    private func read(_ work: inout Work) async throws(StreamFailure) -> ConsumerMachine.Outcome {
        guard let batch = try await self.source.next(self.limits) else { return .exhausted }
        guard !batch.isEmpty else {
            self.state.withLock { $0.behindSince = nil }
            return .readNothing
        }
        work.batch = batch
        for record in batch.records { self.judge(record, into: &work) }
        let behindSince = self.age(of: batch.records.first, work.items.first?.item)
        self.state.withLock { $0.behindSince = behindSince }
        return .read(records: batch.records.count, damaged: work.letters.count)
    }

    private func judge(_ record: StreamRecord, into work: inout Work) {
        if let damage = record.damage { return work.letters.append(self.letter(record, damage)) }
        do throws(Damage) {
            work.items.append((try self.handler.item(of: record), record))
        } catch {
            work.letters.append(self.letter(record, error))
        }
    }

    private func store(_ work: inout Work) async throws(StreamFailure) -> ConsumerMachine.Outcome {
        let result = try await self.handler.store(work.items.map(\.item), checkpoints: work.batch.checkpoints)
        switch result {
        case .stored(let stored, let duplicates):
            self.count(stored, duplicates)
            return .stored
        case .refused(let damages):
            self.bury(damages, in: &work)
        case .partly(let stored, let duplicates, let damages):
            self.count(stored, duplicates)
            self.bury(damages, in: &work)
            work.items = []
        }
        return .refused
    }

    private func count(_ stored: Int, _ duplicates: Int) {
        self.state.withLock { books in
            books.stored &+= UInt64(clamping: stored)
            books.duplicates &+= UInt64(clamping: duplicates)
        }
    }

    private func bury(_ damages: [Int: Damage], in work: inout Work) {
        var left: [(Handler.Item, StreamRecord)] = []
        for (place, entry) in work.items.enumerated() {
            if let damage = damages[place] {
                work.letters.append(self.letter(entry.record, damage))
            } else {
                left.append(entry)
            }
        }
        work.items = left
    }

    /// Since when a record waits: as the stream says, else as its item does, else from now on.
    private func age(of record: StreamRecord?, _ item: Handler.Item?) -> Int64 {
        let now = WallClock.now().milliseconds
        let time = record?.arrived ?? item.flatMap { self.handler.time(of: $0) } ?? now
        return time > 0 ? min(time, now) : now
    }

    private func letter(_ record: StreamRecord, _ damage: Damage) -> DeadLetter {
        DeadLetter(source: self.source.name, record: record, damage: damage, time: WallClock.now())
    }

    private func count(_ letters: [DeadLetter]) {
        self.state.withLock { books in
            for letter in letters { books.deadLetters[letter.damage.reason, default: 0] &+= 1 }
        }
        guard let first = letters.first else { return }
        self.logger.warning(
            "records could not be used and were kept as dead letters",
            metadata: [
                "records": "\(letters.count)", "origin": "\(first.record.origin)",
                "reason": "\(first.damage.reason.rawValue)", "detail": "\(first.damage.sentence)",
            ]
        )
    }

    // MARK: How it is

    private func note(success step: ConsumerMachine.Step) {
        let wasBroken = self.state.withLock { $0.broken.remove(step.part) != nil }
        if wasBroken, self.failuresWereSaid(of: step.part) {
            self.logger.info("works again", metadata: ["part": "\(step.part.rawValue)"])
        }
    }

    private func failuresWereSaid(of part: ConsumerBooks.Part) -> Bool {
        self.state.withLock { $0.failures[part] ?? 0 } > 0
    }

    private func note(failure: StreamFailure, of step: ConsumerMachine.Step) {
        let isNews = self.state.withLock { books in
            books.failures[step.part, default: 0] &+= 1
            if step == .read, books.behindSince == nil { books.behindSince = WallClock.now().milliseconds }
            return books.broken.insert(step.part).inserted || books.failures[step.part] == 1
        }
        guard isNews else { return }
        self.logger.error(
            "does not work, trying again",
            metadata: ["part": "\(step.part.rawValue)", "cause": "\(failure)"]
        )
    }

    /// Ends early when a shutdown begins meanwhile.
    private func pause(_ duration: Duration) async {
        let end = ContinuousClock.now + duration
        let wasStopping = self.isStopping.load(ordering: .relaxed)
        while ContinuousClock.now < end, self.isStopping.load(ordering: .relaxed) == wasStopping, !Task.isCancelled {
            try? await Task.sleep(for: min(.milliseconds(20), end - ContinuousClock.now))
        }
    }
}

extension ConsumerMachine.Step {
    fileprivate var part: ConsumerBooks.Part {
        switch self {
        case .read, .commit: .source
        case .keep: .deadLetters
        case .store: .table
        }
    }
}

enum WallClock {
    static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000)
    }
}
