import EventJournal
import NIOCore
import TestSupport
import Testing

@testable import StreamSink

private let environment = ["AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"]

/// A delivery to the stand-in's stream `events`, on a journal of its own.
private func withKinesisSink(
    _ standIn: StandIn,
    isAggregated: Bool = false,
    _ change: (inout DeliveryLimits) -> Void = { _ in },
    _ body: (EventJournal, StreamDelivery, Appender) async throws -> Void
) async throws {
    try await withDirectory { directory in
        let journal = try openJournal(directory, sinks: ["kinesis:events"])
        defer { journal.close() }
        let target = KinesisStream.Target(
            stream: "events",
            region: "us-east-1",
            endpoint: standIn.url,
            isAggregated: isAggregated
        )
        let stream = try KinesisStream(target, environment: environment, logger: silent)
        let sink = try delivery("kinesis:events", journal, directory, to: stream) { limits, policy in
            policy.probeInterval = 200
            change(&limits)
        }
        try await withSinks(journal, [sink]) { try await body(journal, sink, Appender(journal)) }
    }
}

/// Events whose first 36 bytes, the key, differ.
private func keyed(_ range: Range<Int>) -> [[UInt8]] {
    range.map { number in
        let text = String(number)
        return Array((String(repeating: "0", count: 36 - text.count) + text + " an event").utf8)
    }
}

@Suite("Kinesis, against the stand-in") struct KinesisStreamTests {
    @Test("30 % of entries failing by both documented codes: stored once each, and none after it was told to be stored")
    func partialFailures() async throws {
        try await StandIn.with("kinesis") { standIn async throws in
            try standIn.inject(#"{"kind": "mixed-records", "probability": 0.3, "seed": 7, "times": 0}"#)
            try await withKinesisSink(standIn) { journal, sink, appender in
                try await appender.append(keyed(0..<10_000))
                #expect(await eventually(within: .seconds(60)) { journal.books.acknowledged == 10_000 })
                #expect(sink.books.failed > 0 && sink.books.throttled > 0)
            }
            let ledger = try standIn.ledger()
            #expect(ledger.stored == 10_000)
            #expect(ledger.unique == 10_000)
            #expect(ledger.sentAgainAfterAnswer == 0)
        }
    }

    @Test(
        "an answer that is lost or makes no sense is no answer: everything is stored, once more at most",
        arguments: [
            #"{"kind": "store-then-cut"}"#, #"{"kind": "store-then-half"}"#, #"{"kind": "too-few"}"#,
            #"{"kind": "too-many"}"#, #"{"kind": "wrong-count"}"#, #"{"kind": "empty"}"#, #"{"kind": "reset"}"#,
            #"{"kind": "html"}"#, #"{"kind": "error", "status": 500, "code": "InternalFailure"}"#,
            #"{"kind": "error", "code": "ProvisionedThroughputExceededException"}"#,
        ]
    )
    func lostAnswers(_ fault: String) async throws {
        try await StandIn.with("kinesis") { standIn async throws in
            try standIn.inject(fault)
            try await withKinesisSink(standIn) { journal, _, appender in
                try await appender.append(keyed(0..<400))
                #expect(await eventually(within: .seconds(20)) { journal.books.acknowledged == 400 })
            }
            let ledger = try standIn.ledger()
            #expect(ledger.unique == 400)
            #expect(ledger.duplicates <= 400)
            #expect(ledger.sentAgainAfterAnswer == 0)
        }
    }

    @Test("a throttled shard holds up its own records alone")
    func shards() async throws {
        try await StandIn.with("kinesis", ["--shards", "4"]) { standIn async throws in
            try await withKinesisSink(standIn) { journal, sink, appender in
                // The first answers name shards, so that they are asked for.
                try await appender.append(keyed(0..<100))
                #expect(await eventually { journal.books.acknowledged == 100 })
                #expect(await eventually { (try? standIn.ledger().calls["ListShards"]) ?? 0 >= 1 })
                try standIn.inject(#"{"kind": "throttle-records", "shard": "shardId-000000000002", "times": 0}"#)
                try await appender.append(keyed(100..<4_100))
                let others = try await eventually(within: .seconds(10)) { try standIn.ledger().unique >= 3_000 }
                #expect(others, "the other three shards have theirs")
                #expect(sink.books.throttled > 0)
                // One lane's share is tried again with back-off, not with each batch.
                #expect(journal.books.pending > 0)
                try standIn.removeFaults()
                #expect(await eventually(within: .seconds(20)) { journal.books.pending == 0 })
            }
            let ledger = try standIn.ledger()
            #expect(ledger.unique == 4_100 && ledger.duplicates == 0 && ledger.sentAgainAfterAnswer == 0)
        }
    }

    @Test(
        "a record that AWS refuses for good is quarantined wherever it stands, and the others are stored",
        arguments: [0, 123, 499]
    )
    func poison(_ place: Int) async throws {
        // The stand-in's own bound of a record: one is larger than that, so the whole call is refused.
        try await StandIn.with("kinesis", ["--record-bytes", "200"]) { standIn async throws in
            try await withKinesisSink(standIn) { journal, _, appender in
                var records = keyed(0..<500)
                records[place] += [UInt8](repeating: 0x20, count: 300)
                try await appender.append(records)
                #expect(await eventually(within: .seconds(5)) { journal.books.pending == 0 })
                #expect(journal.books.sinks.map(\.quarantined) == [1])
                #expect(journal.books.sinks.map(\.delivered) == [499])
            }
            #expect(try standIn.ledger().unique == 499)
        }
    }

    @Test("while everything that is sent is refused, nothing is quarantined: the fault may be the configuration's")
    func refusesAll() async throws {
        try await StandIn.with("kinesis") { standIn async throws in
            try standIn.inject(#"{"kind": "error", "code": "ValidationException", "times": 0}"#)
            try await withKinesisSink(standIn) { journal, sink, appender in
                try await appender.append(keyed(0..<8))
                #expect(await eventually(within: .seconds(10)) { !sink.books.isAvailable })
                #expect(journal.books.pending == 8)
                try standIn.removeFaults()
                #expect(await eventually(within: .seconds(10)) { journal.books.pending == 0 })
                #expect(journal.books.sinks.map(\.quarantined) == [0])
            }
        }
    }

    @Test("a listener that is away opens the breaker, and everything is stored when it is back")
    func outage() async throws {
        try await StandIn.with("kinesis") { standIn async throws in
            try await withKinesisSink(standIn) { journal, sink, appender in
                try await appender.append(keyed(0..<100))
                #expect(await eventually { journal.books.acknowledged == 100 })
                try standIn.inject(#"{"kind": "refuse", "seconds": 0}"#)
                try await appender.append(keyed(100..<2_000))
                #expect(await eventually { !sink.books.isAvailable })
                standIn.listenAgain()
                #expect(await eventually(within: .seconds(20)) { journal.books.pending == 0 })
            }
            #expect(try standIn.ledger().unique == 2_000)
        }
    }

    @Test("aggregated, several events are one record, and an entry that fails is sent again with all that is in it")
    func aggregation() async throws {
        try await StandIn.with("kinesis", ["--shards", "2"]) { standIn async throws in
            try standIn.inject(#"{"kind": "mixed-records", "probability": 0.5, "seed": 3, "times": 4}"#)
            try await withKinesisSink(standIn, isAggregated: true) { journal, _, appender in
                try await appender.append(keyed(0..<5_000))
                #expect(await eventually(within: .seconds(20)) { journal.books.acknowledged == 5_000 })
            }
            let ledger = try standIn.ledger()
            #expect(ledger.stored < 100)
            #expect(ledger.sentAgainAfterAnswer == 0)
        }
    }
}
