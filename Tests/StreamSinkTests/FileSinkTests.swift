import EventJournal
import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Testing

@testable import StreamSink

private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

func withDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    var template = Array("/tmp/adtrack-sink-XXXXXX".utf8CString)
    let path = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer { removeTree(path) }
    return try await body(path)
}

private func removeTree(_ path: String) {
    for name in (try? EventDirectory.list(path)) ?? [] where name != "." && name != ".." {
        if unlink("\(path)/\(name)") != 0 { removeTree("\(path)/\(name)") }
    }
    rmdir(path)
}

/// Appends records from a test's task, one batch at a time.
private func appendOnce(_ records: [[UInt8]], to journal: EventJournal) async throws {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let promise = loop.makePromise(of: BatchOutcome.self)
    let lane = try await loop.submit {
        let lane = journal.makeLane(on: loop) { _, outcome in promise.succeed(outcome) }
        for record in records {
            _ = lane.append(upTo: record.count) { place in
                place.copyBytes(from: record)
                return WrittenRecord(length: record.count)
            }
        }
        return NIOLoopBound(lane, eventLoop: loop)
    }.get()
    #expect(try await promise.futureResult.get() == .durable)
    try await loop.submit { _ = lane.value.refusal }.get()
}

/// Events in the visible files of a directory; every file must be whole.
func eventsOnce(in directory: String) throws -> [[UInt8]] {
    var events: [[UInt8]] = []
    for path in EventFileReader.files(in: directory) {
        var reader = EventFileReader(path: path)
        let finding = reader.read { event, _ in events.append(Array(event)) }
        try #require(finding == .complete, "\(path)")
    }
    return events
}

private func numbered(_ range: Range<Int>) -> [[UInt8]] { range.map { Array("event \($0)".utf8) } }

private func withSink(
    _ directory: String,
    _ change: (inout FileSinkConfiguration) -> Void = { _ in },
    _ body: (EventJournal, FileSink) async throws -> Void
) async throws {
    let name = "file:\(directory)/events"
    let journal = try EventJournal.open(
        JournalConfiguration(directory: directory + "/journal"),
        sinks: [name],
        logger: quiet
    )
    defer { journal.close() }
    var configuration = FileSinkConfiguration(directory: directory + "/events")
    configuration.batch.age = 20
    change(&configuration)
    let sink = try #require(FileSink(configuration, name: name, from: journal, logger: quiet))
    let group = ServiceGroup(services: [sink], logger: quiet)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        do {
            try await body(journal, sink)
        } catch {
            await group.triggerGracefulShutdown()
            throw error
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}

/// Looks again every few milliseconds until it holds, for ten seconds at most.
private func eventually(_ condition: () throws -> Bool) async throws -> Bool {
    for _ in 0..<2000 {
        if try condition() { return true }
        try await Task.sleep(for: .milliseconds(5))
    }
    return false
}

@Suite struct FileSinkTests {
    @Test("events become visible while the sink runs, in order, and are then acknowledged")
    func live() async throws {
        try await withDirectory { directory in
            try await withSink(directory) { journal, sink in
                for start in stride(from: 0, to: 500, by: 100) {
                    try await appendOnce(numbered(start..<start + 100), to: journal)
                    #expect(
                        try await eventually { try eventsOnce(in: directory + "/events") == numbered(0..<start + 100) }
                    )
                }
                #expect(try await eventually { journal.books.acknowledged == 500 })
                #expect(journal.books.sinks.map(\.delivered) == [500])
            }
        }
    }

    @Test("a shutdown delivers what the journal has, leaves no hidden file, and a restart repeats nothing")
    func drain() async throws {
        try await withDirectory { directory in
            try await withSink(directory, { $0.batch.age = 5000 }) { journal, _ in
                try await appendOnce(numbered(0..<3000), to: journal)
            }
            #expect(try eventsOnce(in: directory + "/events") == numbered(0..<3000))
            let names = try EventDirectory.list(directory + "/events").filter { $0.hasPrefix(".") && $0.count > 2 }
            #expect(names.isEmpty)
            try await withSink(directory) { journal, _ in
                #expect(journal.books.pending == 0)
                try await appendOnce(numbered(3000..<3010), to: journal)
            }
            #expect(try eventsOnce(in: directory + "/events") == numbered(0..<3010))
        }
    }

    @Test("a file that is large enough is followed by another one")
    func rotation() async throws {
        try await withDirectory { directory in
            try await withSink(directory, { $0.rotateBytes = 1000 }) { journal, _ in
                for start in stride(from: 0, to: 1000, by: 100) {
                    try await appendOnce(numbered(start..<start + 100), to: journal)
                    #expect(try await eventually { try eventsOnce(in: directory + "/events").count == start + 100 })
                }
            }
            #expect(EventFileReader.files(in: directory + "/events").count > 3)
            #expect(try eventsOnce(in: directory + "/events") == numbered(0..<1000))
        }
    }

    @Test("a reader that keeps a file open sees it unchanged, and the sink goes on")
    func heldOpen() async throws {
        try await withDirectory { directory in
            try await withSink(directory) { journal, _ in
                var held: [Int32] = []
                defer { for descriptor in held { close(descriptor) } }
                for start in stride(from: 0, to: 200, by: 10) {
                    try await appendOnce(numbered(start..<start + 10), to: journal)
                    #expect(try await eventually { try eventsOnce(in: directory + "/events").count == start + 10 })
                    let path = try #require(EventFileReader.files(in: directory + "/events").last)
                    held.append(open(path, O_RDONLY))
                }
                let sizes = held.map { lseek($0, 0, SEEK_END) }
                #expect(sizes == sizes.sorted())
                #expect(Set(sizes).count == sizes.count)
            }
        }
    }

    @Test("a sink whose directory cannot be written tries on, and delivers everything once it can")
    func blocked() async throws {
        try await withDirectory { directory in
            // A file stands where the directory should be.
            let obstacle = open(directory + "/events", O_CREAT | O_WRONLY, 0o600)
            close(obstacle)
            try await withSink(directory) { journal, sink in
                try await appendOnce(numbered(0..<10), to: journal)
                #expect(try await eventually { !sink.books.isAvailable })
                unlink(directory + "/events")
                #expect(try await eventually { journal.books.acknowledged == 10 })
                #expect(sink.books.isAvailable)
            }
            #expect(try eventsOnce(in: directory + "/events") == numbered(0..<10))
        }
    }
}
