import Logging
import ServiceLifecycle
import TestSupport
import Testing

@testable import StreamSource

/// A stream in memory; each element of `script` is one answer.
private actor ScriptedSource: RecordSource {
    nonisolated let name = "scripted"
    private var batches: [RecordBatch]
    private(set) var committed: [[String]] = []
    private var commitFailures: Int

    init(_ batches: [[String]], commitFailures: Int = 0) {
        self.batches = batches.map { texts in
            RecordBatch(
                records: texts.map { StreamRecord(origin: $0, bytes: Array($0.utf8)) },
                receipts: texts
            )
        }
        self.commitFailures = commitFailures
    }

    func next(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch? {
        self.batches.isEmpty ? nil : self.batches.removeFirst()
    }

    func commit(_ batch: RecordBatch) async throws(StreamFailure) {
        if self.commitFailures > 0 {
            self.commitFailures -= 1
            throw StreamFailure("not now")
        }
        self.committed.append(batch.receipts)
    }

    func close() async {}
}

/// Takes texts; "bad…" can't be read, "refused…" not be stored.
private actor TextStore: RecordHandler {
    private(set) var stored: [String] = []
    private var failures: Int
    private let isPartial: Bool

    init(failures: Int = 0, isPartial: Bool = false) {
        self.failures = failures
        self.isPartial = isPartial
    }

    nonisolated func item(of record: StreamRecord) throws(Damage) -> String {
        let text = String(decoding: record.bytes, as: UTF8.self)
        if text.hasPrefix("bad") { throw Damage(.undecodable, "It is bad.") }
        return text
    }

    nonisolated func time(of item: String) -> Int64? { nil }

    func store(_ items: [String], checkpoints: [Checkpoint]) async throws(StreamFailure) -> StoreResult {
        if self.failures > 0 {
            self.failures -= 1
            throw StreamFailure("away")
        }
        var refused: [Int: Damage] = [:]
        for (place, item) in items.enumerated() where item.hasPrefix("refused") {
            refused[place] = Damage(.notStorable, "It is refused.")
        }
        if !refused.isEmpty, !self.isPartial { return .refused(refused) }
        let taken = items.filter { !$0.hasPrefix("refused") && !self.stored.contains($0) }
        self.stored += taken
        let duplicates = items.count - taken.count - refused.count
        if refused.isEmpty { return .stored(taken.count, duplicates: duplicates) }
        return .partly(taken.count, duplicates: duplicates, refused: refused)
    }
}

private actor Letters: DeadLetterPlace {
    private(set) var origins: [String] = []
    private var failures: Int

    init(failures: Int = 0) { self.failures = failures }

    func keep(_ letters: [DeadLetter]) async throws(StreamFailure) {
        if self.failures > 0 {
            self.failures -= 1
            throw StreamFailure("full")
        }
        self.origins += letters.map(\.record.origin)
    }
}

@Suite("A consumer")
struct StreamConsumerTests {
    private let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test(
        "A record that can't be used is a dead letter wherever it stands, and the others are stored",
        arguments: 0..<5
    )
    func poison(place: Int) async throws {
        for word in ["bad", "refused"] {
            for isPartial in [false, true] {
                var texts = (0..<4).map { "t\($0)" }
                texts.insert(word, at: place)
                let (source, store, letters) = (
                    ScriptedSource([texts, ["after"]]), TextStore(isPartial: isPartial), Letters()
                )
                let consumer = StreamConsumer(source, to: store, deadLetters: letters, logger: self.silent)
                try await consumer.run()
                #expect(await store.stored == ["t0", "t1", "t2", "t3", "after"])
                #expect(await letters.origins == [word])
                #expect(await source.committed == [texts, ["after"]])
                #expect(consumer.books.stored == 5)
                #expect(consumer.books.deadLetters.values.reduce(0, +) == 1)
            }
        }
    }

    @Test("Whatever fails is tried again; nothing is skipped and nothing told twice")
    func failures() async throws {
        let source = ScriptedSource([["a", "bad"], ["b"], ["a"]], commitFailures: 2)
        let (store, letters) = (TextStore(failures: 3), Letters(failures: 2))
        let consumer = StreamConsumer(source, to: store, deadLetters: letters, logger: self.silent)
        try await consumer.run()
        #expect(await store.stored == ["a", "b"])
        #expect(await letters.origins == ["bad"])
        #expect(await source.committed == [["a", "bad"], ["b"], ["a"]])
        #expect(consumer.books.duplicates == 1)
        #expect(consumer.books.failures == [.table: 3, .deadLetters: 2, .source: 2])
        #expect(consumer.books.broken.isEmpty)
        #expect(consumer.books.lag(at: .max) == 0)
    }
}
