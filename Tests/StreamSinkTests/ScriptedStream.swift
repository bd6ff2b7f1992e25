import EventJournal
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import ServiceLifecycle
import Testing

@testable import StreamSink

let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// A stream whose answers a test decides, and that remembers what it took.
final class ScriptedStream: RecordStream {
    private struct State {
        var stored: [UInt64] = []
        var calls = 0
        var running = 0
        var mostRunning = 0
        var answer: @Sendable (RecordBatch) -> PutOutcome
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isHeld = false
    }

    let limits: PutLimits
    private let state: NIOLockedValueBox<State>

    init(
        _ limits: PutLimits = PutLimits(records: 500, bytes: 5 << 20, recordBytes: 1 << 20),
        _ answer: @escaping @Sendable (RecordBatch) -> PutOutcome = ScriptedStream.takesAll
    ) {
        self.limits = limits
        self.state = NIOLockedValueBox(State(answer: answer))
    }

    static let takesAll: @Sendable (RecordBatch) -> PutOutcome = { .answered($0.records.map { _ in .delivered }) }
    static let isDown: @Sendable (RecordBatch) -> PutOutcome = { _ in .unavailable(Unavailability("down")) }

    func answers(_ answer: @escaping @Sendable (RecordBatch) -> PutOutcome) {
        self.state.withLockedValue { $0.answer = answer }
    }

    /// Calls do not end until ``release()``.
    func hold() { self.state.withLockedValue { $0.isHeld = true } }

    func release() {
        let waiting = self.state.withLockedValue { state in
            state.isHeld = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    var stored: [UInt64] { self.state.withLockedValue { $0.stored } }
    var calls: Int { self.state.withLockedValue { $0.calls } }
    var mostRunning: Int { self.state.withLockedValue { $0.mostRunning } }

    func put(_ batch: RecordBatch) async -> PutOutcome {
        self.state.withLockedValue { state in
            state.calls += 1
            state.running += 1
            state.mostRunning = max(state.mostRunning, state.running)
        }
        await withCheckedContinuation { continuation in
            let isHeld = self.state.withLockedValue { state in
                if state.isHeld { state.waiting.append(continuation) }
                return state.isHeld
            }
            if !isHeld { continuation.resume() }
        }
        return self.state.withLockedValue { state in
            state.running -= 1
            let outcome = state.answer(batch)
            if case .answered(let outcomes) = outcome {
                for (record, outcome) in zip(batch.records, outcomes) where outcome == .delivered {
                    state.stored.append(record.sequence)
                }
            }
            return outcome
        }
    }

    func stop() async { self.release() }
}

/// Sinks of a test's own on a journal, run as a service runs them.
func withSinks(
    _ journal: EventJournal,
    _ sinks: [any Sink],
    _ body: () async throws -> Void
) async throws {
    let group = ServiceGroup(services: sinks.map { $0 as any Service }, logger: silent)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        do {
            try await body()
        } catch {
            await group.triggerGracefulShutdown()
            throw error
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}

func openJournal(
    _ directory: String,
    sinks: [String],
    _ change: (inout JournalConfiguration) -> Void = { _ in }
) throws -> EventJournal {
    var configuration = JournalConfiguration(directory: directory + "/journal")
    configuration.durability = .write
    change(&configuration)
    return try EventJournal.open(configuration, sinks: sinks, logger: silent)
}

func delivery(
    _ name: String,
    _ journal: EventJournal,
    _ directory: String,
    to stream: any RecordStream,
    _ change: (inout DeliveryLimits, inout RetryPolicy) -> Void = { _, _ in }
) throws -> StreamDelivery {
    var limits = DeliveryLimits()
    var policy = RetryPolicy()
    limits.batch.age = 20
    change(&limits, &policy)
    let quarantine = RefusedRecords(journal: directory + "/journal")
    let made = StreamDelivery(limits, policy: policy, name: name, from: journal, quarantine: quarantine, logger: silent)
    { _ in
        stream
    }
    return try #require(made)
}

/// Appends from a test's task, in batches, and waits until the journal has them.
final class Appender: Sendable {
    private final class Inside {
        var lane: JournalLane?
        var promise: EventLoopPromise<BatchOutcome>?
    }

    private let loop: any EventLoop
    private let inside: NIOLoopBound<Inside>

    init(_ journal: EventJournal) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        self.loop = loop
        self.inside = try await loop.submit {
            let inside = Inside()
            inside.lane = journal.makeLane(on: loop) { [unowned inside] _, outcome in inside.promise?.succeed(outcome) }
            return NIOLoopBound(inside, eventLoop: loop)
        }.get()
    }

    /// The key is the record's first 36 bytes, or all of it.
    func append(_ records: [[UInt8]]) async throws {
        for start in stride(from: 0, to: records.count, by: 500) {
            let part = Array(records[start..<min(records.count, start + 500)])
            let outcome = try await self.loop.flatSubmit { () -> EventLoopFuture<BatchOutcome> in
                let promise = self.loop.makePromise(of: BatchOutcome.self)
                self.inside.value.promise = promise
                for record in part {
                    _ = self.inside.value.lane?.append(upTo: record.count) { place in
                        place.copyBytes(from: record)
                        return WrittenRecord(length: record.count, key: 0..<min(36, record.count))
                    }
                }
                return promise.futureResult
            }.get()
            try #require(outcome == .durable)
        }
    }
}

func events(_ range: Range<Int>, bytes: Int = 0) -> [[UInt8]] {
    range.map { Array("event \($0)".utf8) + [UInt8](repeating: 0x20, count: bytes) }
}
