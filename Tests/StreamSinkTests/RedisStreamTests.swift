import EventJournal
import Foundation
import NIOCore
import RedisClient
import TestSupport
import Testing

@testable import StreamSink

private func redis(_ url: String, _ authority: String? = nil) throws -> RedisConfiguration {
    try RedisConfiguration(url: url, certificateAuthority: authority)
}

/// A delivery to a stream of a server, on a journal of its own.
private func withRedisSink(
    _ server: RedisConfiguration,
    maxLength: Int? = nil,
    _ change: (inout JournalConfiguration) -> Void = { _ in },
    _ body: (EventJournal, StreamDelivery, Appender) async throws -> Void
) async throws {
    try await withDirectory { directory in
        let journal = try openJournal(directory, sinks: ["redis:events"], change)
        defer { journal.close() }
        var limits = DeliveryLimits()
        limits.batch.age = 20
        let made = StreamDelivery(
            limits,
            name: "redis:events",
            from: journal,
            quarantine: RefusedRecords(journal: directory + "/journal"),
            logger: silent
        ) { RedisStream(key: "events", maxLength: maxLength, at: server, on: $0, logger: silent) }
        let sink = try #require(made)
        try await withSinks(journal, [sink]) { try await body(journal, sink, Appender(journal)) }
    }
}

extension RedisServer {
    fileprivate func length() throws -> Int { Int(try cli("XLEN", "events")) ?? -1 }

    /// The `event` field of each entry.
    fileprivate func stored() throws -> [String] {
        let lines = try cli("XRANGE", "events", "-", "+").split(separator: "\n").map(String.init)
        return lines.indices.filter { lines[$0] == "event" && $0 + 1 < lines.count }.map { lines[$0 + 1] }
    }
}

@Suite("Redis Streams, against a real server") struct RedisStreamTests {
    @Test("an event is an entry with the fields id and event")
    func form() async throws {
        try await RedisServer.with { server async throws in
            try await withRedisSink(redis(server.url)) { journal, _, appender in
                let id = "01a1fdaf-1fed-725a-bdab-57ac2d8ebde0"
                try await appender.append([Array((id + "\u{1}binary").utf8)])
                #expect(await eventually { journal.books.acknowledged == 1 })
                let lines = try server.cli("XRANGE", "events", "-", "+").split(separator: "\n").dropFirst()
                #expect(lines.map(String.init) == ["id", id, "event", id + "\u{1}binary"])
            }
        }
    }

    @Test("maxlen keeps the stream at about as many entries")
    func maxLength() async throws {
        try await RedisServer.with { server async throws in
            try await withRedisSink(redis(server.url), maxLength: 1_000) { journal, _, appender in
                try await appender.append(events(0..<5_000))
                #expect(await eventually { journal.books.acknowledged == 5_000 })
                // Redis removes whole nodes of 100 entries.
                #expect((1_000...1_100).contains(try server.length()))
            }
        }
    }

    @Test("a server that stops and starts again, empty, gets everything that was not acknowledged, each event once")
    func restart() async throws {
        try await RedisServer.with { server async throws in
            try await withRedisSink(redis(server.url)) { journal, sink, appender in
                try await appender.append(events(0..<1_000))
                #expect(await eventually { journal.books.acknowledged == 1_000 })
                server.kill()
                try await appender.append(events(1_000..<3_000))
                #expect(await eventually { !sink.books.isAvailable })
                #expect(journal.books.pending == 2_000)
                try server.start()
                #expect(await eventually(within: .seconds(10)) { journal.books.pending == 0 })
                #expect(sink.books.isAvailable)
                let stored = try server.stored()
                #expect(Set(stored) == Set((1_000..<3_000).map { "event \($0)" }))
                #expect(stored.count == 2_000)
            }
        }
    }

    @Test("a server that hangs and wakes loses nothing")
    func hang() async throws {
        try await RedisServer.with { server async throws in
            try await withRedisSink(redis(server.url)) { journal, sink, appender in
                try await appender.append(events(0..<100))
                #expect(await eventually { journal.books.acknowledged == 100 })
                server.pause()
                try await appender.append(events(100..<200))
                #expect(await eventually(within: .seconds(30)) { sink.books.failed > 0 })
                server.resume()
                #expect(await eventually(within: .seconds(30)) { journal.books.pending == 0 })
                #expect(Set(try server.stored()) == Set((0..<200).map { "event \($0)" }))
            }
        }
    }

    @Test("the server becomes a replica and a master again: READONLY is no answer, and nothing is lost")
    func failover() async throws {
        try await RedisServer.with { master async throws in
            try await RedisServer.with { server async throws in
                try await withRedisSink(redis(server.url)) { journal, sink, appender in
                    try await appender.append(events(0..<100))
                    #expect(await eventually { journal.books.acknowledged == 100 })
                    try server.cli("REPLICAOF", "127.0.0.1", "\(master.port)")
                    try await appender.append(events(100..<200))
                    #expect(await eventually { !sink.books.isAvailable })
                    #expect(journal.books.pending == 100)
                    try server.cli("REPLICAOF", "NO", "ONE")
                    #expect(await eventually(within: .seconds(10)) { journal.books.pending == 0 })
                    let stored = try server.stored()
                    #expect(Set((100..<200).map { "event \($0)" }).isSubset(of: stored))
                    #expect(stored.count == Set(stored).count)
                }
            }
        }
    }

    @Test("a stream that is another type, and a right that is missing, are said and tried again until they are mended")
    func faults() async throws {
        try await RedisServer.with { server async throws in
            try server.cli("SET", "events", "text")
            try server.cli("ACL", "SETUSER", "sink", "on", ">s3cret", "~events", "+ping", "+client")
            try await withRedisSink(redis("redis://sink:s3cret@127.0.0.1:\(server.port)")) { journal, sink, appender in
                try await appender.append(events(0..<10))
                #expect(await eventually { !sink.books.isAvailable })
                try server.cli("ACL", "SETUSER", "sink", "+xadd")
                let failed = sink.books.failed
                // Now it is the type.
                #expect(await eventually { sink.books.failed >= failed + 20 })
                #expect(journal.books.pending == 10)
                try server.cli("DEL", "events")
                #expect(await eventually { journal.books.pending == 0 })
                #expect(try server.length() == 10)
            }
        }
    }

    @Test("without memory Redis is tried again until it has some")
    func outOfMemory() async throws {
        try await RedisServer.with { server async throws in
            try await withRedisSink(redis(server.url)) { journal, sink, appender in
                try server.cli("CONFIG", "SET", "maxmemory", "1")
                try await appender.append(events(0..<100))
                #expect(await eventually { sink.books.throttled > 0 })
                #expect(journal.books.pending == 100)
                try server.cli("CONFIG", "SET", "maxmemory", "0")
                #expect(await eventually(within: .seconds(15)) { journal.books.pending == 0 })
                #expect(try server.length() == 100)
            }
        }
    }

    @Test("over TLS, with a user's own rights")
    func encrypted() async throws {
        var options = RedisServer.Options()
        options.usesTLS = true
        options.configuration = ["user sink on >s3cret ~events +xadd +ping +client"]
        try await RedisServer.with(options) { server async throws in
            let url = "rediss://sink:s3cret@127.0.0.1:\(server.port)"
            try await withRedisSink(redis(url, server.certificateAuthority)) { journal, _, appender in
                try await appender.append(events(0..<2_000))
                #expect(await eventually { journal.books.acknowledged == 2_000 })
                #expect(try server.length() == 2_000)
            }
        }
    }

    @Test("a backlog of 100,000 records is delivered in bounded memory")
    func backlog() async throws {
        try await RedisServer.with { server async throws in
            server.kill()
            try await withRedisSink(redis(server.url), { $0.ringBytes = 1 << 20 }) { journal, sink, appender in
                try await appender.append(events(0..<100_000, bytes: 300))
                #expect(await eventually { !sink.books.isAvailable })
                let before = residentBytes()
                try server.start()
                #expect(await eventually(within: .seconds(60)) { journal.books.pending == 0 })
                #expect(try server.length() == 100_000)
                #expect(residentBytes() - before < 48 << 20)
            }
        }
    }

    @Test(
        "what Redis answers decides whether it is delivered, tried again, or a fault",
        arguments: [
            ("OOM command not allowed", PutOutcome.answered([.throttled])),
            ("READONLY You can't write", .unavailable(Unavailability("Redis: READONLY"))),
            ("LOADING Redis is loading", .unavailable(Unavailability("Redis: LOADING"))),
            (
                "WRONGTYPE Operation",
                .unavailable(Unavailability("Redis answers WRONGTYPE", isConfigurationFault: true))
            ),
            ("NOPERM user x", .unavailable(Unavailability("Redis answers NOPERM", isConfigurationFault: true))),
        ]
    )
    func answers(text: String, outcome: PutOutcome) {
        #expect(RedisAnswer.outcome(of: [RedisAnswer(.success(.error(text)))]) == outcome)
        // Beside an entry that was added, it is that one's answer alone.
        let both = [RedisAnswer(.success(.bulk(ByteBuffer(string: "1-0")))), RedisAnswer(.success(.error(text)))]
        guard case .answered(let outcomes) = RedisAnswer.outcome(of: both) else {
            Issue.record("not answered")
            return
        }
        #expect(outcomes.count == 2 && outcomes[0] == .delivered && outcomes[1] != .delivered)
    }
}

/// Of this process.
private func residentBytes() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
}
