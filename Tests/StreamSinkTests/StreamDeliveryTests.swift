import EventJournal
import NIOCore
import TestSupport
import Testing

@testable import StreamSink

@Suite struct StreamDeliveryTests {
    @Test("events arrive while it runs, and the books of one look add up at every moment")
    func live() async throws {
        try await withDirectory { directory in
            let journal = try openJournal(directory, sinks: ["s"])
            defer { journal.close() }
            let stream = ScriptedStream()
            let sink = try delivery("s", journal, directory, to: stream)
            try await withSinks(journal, [sink]) {
                let appender = try await Appender(journal)
                for start in stride(from: 0, to: 5_000, by: 1_000) {
                    try await appender.append(events(start..<start + 1_000))
                    let books = journal.books
                    #expect(books.acknowledged == books.sinks[0].delivered)
                    #expect(books.appended == books.sinks[0].delivered + books.sinks[0].pending)
                }
                #expect(await eventually { journal.books.acknowledged == 5_000 })
            }
            #expect(stream.stored.sorted() == Array(1...5_000))
        }
    }

    @Test("30 % of entries failing by both documented codes: stored once each, none that was stored is sent again")
    func partialFailures() async throws {
        try await withDirectory { directory in
            let journal = try openJournal(directory, sinks: ["s"])
            defer { journal.close() }
            let stream = ScriptedStream { batch in
                .answered(
                    batch.records.map { record in
                        switch Int.random(in: 0..<100) {
                        case 0..<15: .throttled
                        case 15..<30: .failed(code: "InternalFailure")
                        default: .delivered
                        }
                    }
                )
            }
            let sink = try delivery("s", journal, directory, to: stream)
            try await withSinks(journal, [sink]) {
                try await Appender(journal).append(events(0..<20_000))
                #expect(await eventually(within: .seconds(30)) { journal.books.acknowledged == 20_000 })
            }
            #expect(stream.stored.sorted() == Array(1...20_000))
            #expect(sink.books.failed > 0 && sink.books.throttled > 0)
        }
    }

    @Test("calls run side by side, and no more of them than may")
    func concurrency() async throws {
        try await withDirectory { directory in
            let journal = try openJournal(directory, sinks: ["s"])
            defer { journal.close() }
            let stream = ScriptedStream()
            stream.hold()
            let sink = try delivery("s", journal, directory, to: stream) { limits, _ in limits.batchesInFlight = 3 }
            try await withSinks(journal, [sink]) {
                try await Appender(journal).append(events(0..<5_000))
                #expect(await eventually { stream.mostRunning == 3 })
                #expect(stream.calls == 3)
                stream.release()
                #expect(await eventually { journal.books.acknowledged == 5_000 })
            }
            #expect(stream.mostRunning == 3)
        }
    }

    @Test("a dead sink delays no other one")
    func deadBesideLiving() async throws {
        try await withDirectory { directory in
            let journal = try openJournal(directory, sinks: ["dead", "hung", "file", "alive"])
            defer { journal.close() }
            let hung = ScriptedStream()
            hung.hold()
            let alive = ScriptedStream()
            var files = FileSinkConfiguration(directory: directory + "/events")
            files.batch.age = 20
            let sinks: [any Sink] = [
                try delivery("dead", journal, directory, to: ScriptedStream.down()),
                try delivery("hung", journal, directory, to: hung) { limits, _ in limits.drainTimeout = 100 },
                try #require(FileSink(files, name: "file", from: journal, logger: silent)),
                try delivery("alive", journal, directory, to: alive),
            ]
            try await withSinks(journal, sinks) {
                try await Appender(journal).append(events(0..<3_000))
                #expect(
                    await eventually {
                        journal.books.sinks.map(\.delivered) == [0, 0, 3_000, 3_000]
                    }
                )
                #expect(journal.books.acknowledged == 0 && journal.books.pending == 3_000)
                #expect(await eventually { sinks.map(\.books.isAvailable) == [false, true, true, true] })
            }
        }
    }

    @Test("after an outage everything is delivered, each record once, the backlog from disk and in bounded memory")
    func outage() async throws {
        try await withDirectory { directory in
            let journal = try openJournal(directory, sinks: ["s"]) { $0.ringBytes = 256 << 10 }
            defer { journal.close() }
            let stream = ScriptedStream.down()
            let sink = try delivery("s", journal, directory, to: stream) { _, policy in policy.probeInterval = 50 }
            try await withSinks(journal, [sink]) {
                try await Appender(journal).append(events(0..<50_000, bytes: 200))
                #expect(await eventually { !sink.books.isAvailable })
                stream.answers(ScriptedStream.takesAll)
                #expect(await eventually(within: .seconds(30)) { journal.books.acknowledged == 50_000 })
                #expect(sink.books.isAvailable)
            }
            #expect(stream.stored.sorted() == Array(1...50_000))
        }
    }

    @Test("a sink that catches up rests while events are accepted, and only then", arguments: [true, false])
    func catchesUp(whileAccepting isAccepting: Bool) async throws {
        try await withDirectory { directory in
            let journal = try openJournal(directory, sinks: ["file", "stream"])
            defer { journal.close() }
            let appender = try await Appender(journal)
            try await appender.append(events(0..<50_000, bytes: 200))
            let sinks: [any Sink] = [
                try #require(
                    FileSink(
                        FileSinkConfiguration(directory: directory + "/events"),
                        name: "file",
                        from: journal,
                        logger: silent
                    )
                ),
                try delivery("stream", journal, directory, to: ScriptedStream()),
            ]
            try await withSinks(journal, sinks) {
                var next = 50_000
                // A sink may be through before the first of these is accepted: then there is a backlog once more.
                while isAccepting, sinks.contains(where: { $0.books.restedNanoseconds == 0 }), next < 2_000_000 {
                    let count = journal.books.pending < 10_000 ? 20_000 : 10
                    try await appender.append(events(next..<next + count, bytes: 200))
                    next += count
                }
                let end = UInt64(next)
                #expect(await eventually(within: .seconds(30)) { journal.books.acknowledged == end })
                for sink in sinks { #expect((sink.books.restedNanoseconds > 0) == isAccepting, "\(sink.name)") }
            }
        }
    }

    @Test(
        "poison is kept aside with its reason within a second, and what comes after it is delivered",
        arguments: [1, 250, 500, 777]
    )
    func poison(_ place: UInt64) async throws {
        try await withDirectory { directory in
            let journal = try openJournal(directory, sinks: ["redis:x"])
            defer { journal.close() }
            // One refuses the record, the other one the call that holds it.
            let stream = ScriptedStream { batch in
                if place % 2 == 0, batch.records.contains(where: { $0.sequence == place }) {
                    return .refused(reason: "not UTF-8")
                }
                return .answered(
                    batch.records.map { $0.sequence == place ? .refused(reason: "not UTF-8") : .delivered }
                )
            }
            let sink = try delivery("redis:x", journal, directory, to: stream)
            try await withSinks(journal, [sink]) {
                try await Appender(journal).append(events(0..<1_000))
                #expect(await eventually(within: .seconds(1)) { journal.books.pending == 0 })
                #expect(journal.books.sinks.map(\.delivered) == [999])
                #expect(journal.books.sinks.map(\.quarantined) == [1])
                #expect(journal.books.acknowledged == 1_000)
            }
            var found: [(UInt64, String, JournalArchive.Origin)] = []
            var archive = JournalArchive(directory: directory + "/journal/quarantine")
            archive.read { record, origin in
                found.append((record.sequence, String(decoding: record.bytes, as: UTF8.self), origin))
            }
            #expect(found.map(\.0) == [place])
            #expect(found.map(\.1) == ["event \(place - 1)"])
            guard case .refused("redis:x", "not UTF-8", _)? = found.first?.2 else { throw Unexpected() }
        }
    }

    @Test("a shutdown delivers what the journal has, and gives up on a stream that does not answer")
    func shutdown() async throws {
        try await withDirectory { directory in
            let stream = ScriptedStream()
            try await Self.life(directory, stream, age: 60_000) { journal, _ in
                try await Appender(journal).append(events(0..<700))
            } after: {
                #expect($0.pending == 0)
            }
            #expect(stream.stored.sorted() == Array(1...700))
            let began = ContinuousClock.now
            stream.answers(ScriptedStream.isDown)
            try await Self.life(directory, stream) { journal, sink in
                try await Appender(journal).append(events(700..<800))
                #expect(await eventually { !sink.books.isAvailable })
            } after: {
                #expect($0.pending == 100)
            }
            #expect(began.duration(to: .now) < .seconds(5) * Machine.stretch)
            // The next life delivers the rest, and only that.
            stream.answers(ScriptedStream.takesAll)
            try await Self.life(directory, stream) { journal, _ in
                #expect(await eventually { journal.books.pending == 0 })
            }
            #expect(stream.stored.sorted() == Array(1...800))
        }
    }

    /// One life of a journal with its sink.
    private static func life(
        _ directory: String,
        _ stream: ScriptedStream,
        age: Int = 20,
        _ body: (EventJournal, StreamDelivery) async throws -> Void,
        after: (JournalBooks) -> Void = { _ in }
    ) async throws {
        let journal = try openJournal(directory, sinks: ["s"])
        defer { journal.close() }
        let sink = try delivery("s", journal, directory, to: stream) { limits, _ in limits.batch.age = age }
        try await withSinks(journal, [sink]) { try await body(journal, sink) }
        after(journal.books)
    }
}

extension ScriptedStream {
    static func down() -> ScriptedStream {
        let stream = ScriptedStream()
        stream.answers(Self.isDown)
        return stream
    }
}
