import CoreDataFeed
import Foundation
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing
import TrackingModel
import Verticles

@Suite("A file of programs")
struct ProgramsFileTests {
    private func ids(_ text: String) throws -> [String] {
        try ProgramsFile.parse(Array(text.utf8)).map(\.id.text)
    }

    @Test(
        "Every form is understood",
        arguments: [
            "[{\"programId\":\"a\"},{\"programId\":\"b\"}]",
            "\u{FEFF} [ {\"programId\":\"a\"} ,\n{\"programId\":\"b\"} ] \n",
            "{\"programs\":[{\"programId\":\"a\"},{\"programId\":\"b\"}]}",
            "{\"note\":\"]}\\\"\",\"n\":-1.5e3,\"x\":[{\"y\":[]}],\"programs\" : [{\"programId\":\"a\"},{\"programId\":\"b\"}], \"z\":{\"q\":1}}\n",
            "{\"programId\":\"a\"}\n{\"programId\":\"b\"}\n",
            "{\n \"programId\": \"a\",\n \"programName\":\"}{\"}\r\n\r\n{\"programId\":\"b\"}",
        ]
    )
    func forms(text: String) throws {
        #expect(try ids(text) == ["a", "b"])
    }

    @Test("An empty array has no programs, one object alone is one program")
    func small() throws {
        #expect(try ids(" [ ] ") == [])
        #expect(try ids("{\"programs\":[]}") == [])
        #expect(try ids("{\"programId\":\"a\"}") == ["a"])
    }

    @Test("The data.json of the replaced system is understood")
    func replacedSystem() throws {
        let text = """
            [{"userAgent":"","programId":"212313","programName":"program2","checksum":"dreizwei","customerId":98,
              "customerName":"Customer 98","messageId":"0","valid":true}]
            """
        let program = try #require(ProgramsFile.parse(Array(text.utf8)).first)
        #expect(program.id.text == "212313")
        #expect(program.customerID == 98)
        #expect(program.checksum == "dreizwei")
        #expect(program.isValid)
    }

    @Test(
        "The first fault is named with its line",
        arguments: [
            ("", 1), ("nonsense", 1), ("[\n{\"programId\":\"a\"}\n{\"programId\":\"b\"}]", 3),
            ("[{\"programId\":\"a\"},]", 1),
            ("[{\"programId\":\"a\"}\n,\n{\"programId\":\"a\"}]", 3),
            ("[\n{\"programId\":\"a\",\n\"customerId\":\"many\"}]", 2),
            ("[{\"programId\":\"a\"}", 1), ("[{\"programId\":\"a\"}]\n]", 2), ("[1]", 1), ("{\"programs\":{}}", 1),
            ("{\"programId\":\"a\"}\n{\"programId\":\"b\"", 2), ("[{\"programId\":\"a}]", 1), ("{\"programs\":[]", 1),
            ("[{\"programId\":\"a b\"}]", 1), ("[{}]", 1), ("[{\"programId\":\"a\" \"b\":1}]", 1),
            ("[{\"programId\":\"a\"]", 1),
            ("[{\"programId\":\"a\"}] x", 1), ("[{\"programId\":\"a\",\"parameters\":{\"types\":[\"x\"]}}]", 1),
        ]
    )
    func faults(text: String, line: Int) {
        let fault = #expect(throws: ProgramsFile.Fault.self) { try ProgramsFile.parse(Array(text.utf8)) }
        #expect(fault?.line == line)
    }

    @Test("Damage never traps")
    func damage() throws {
        let whole = Array(
            "{\"x\":[1,\"\\\"\"],\"programs\":[{\"programId\":\"a\",\"valid\":true},{\"programId\":\"b\"}]}".utf8
        )
        for end in 0...whole.count { _ = try? ProgramsFile.parse(Array(whole[..<end])) }
        for _ in 0..<5_000 {
            var bytes = whole
            for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...127) }
            _ = try? ProgramsFile.parse(bytes)
        }
    }

    @Test("The sample has three programs that run without any rule")
    func sample() {
        #expect(ProgramsFile.sample.map(\.id.text) == ["212312", "212313", "212314"])
        #expect(ProgramsFile.sample.allSatisfy { $0.isValid && $0.parameters == nil && !$0.requiresChecksum })
    }

    @Test("A file that is not there, or is a directory, says so")
    func unreadable() {
        #expect(throws: ProgramsFile.Fault.self) { try ProgramsFile.read(path: "/nowhere/programs.json") }
        #expect(throws: ProgramsFile.Fault.self) { try ProgramsFile.read(path: "/tmp") }
    }
}

@Suite("A file of programs that changes")
struct ProgramsFileWatcherTests {
    private func withWatcher(
        _ body: (_ directory: URL, _ file: URL, EmbeddedPrograms, _ replaced: Locked<Int>, LogLines) async throws ->
            Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("adtrack-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appendingPathComponent("programs.json")
        try write("a", to: file, atomically: true)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let bus = EventBus()
        let address = Address<CoreDataChange>("changes", capacity: 100, overflow: .replaceAll(with: .recheckAll))
        let replaced = Locked(0)
        bus.consumer(address, on: group.next()) { change in
            if case .replacedAll = change { replaced.withLock { $0 += 1 } }
        }
        let lines = LogLines()
        let watcher = try ProgramsFileWatcher(path: file.path, topic: bus.topic(address), logger: lines.logger)
        let running = Task { try await watcher.run() }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(directory, file, watcher.embedded, replaced, lines)) } catch {
            outcome = .failure(error)
        }
        running.cancel()
        _ = await running.result
        try await group.shutdownGracefully()
        try outcome.get()
    }

    private func write(_ id: String, to file: URL, atomically: Bool) throws {
        let json = Data("[{\"programId\":\"\(id)\"}]".utf8)
        try json.write(to: file, options: atomically ? [.atomic] : [])
    }

    private func holds(_ programs: EmbeddedPrograms, _ id: String) async throws -> Bool {
        let id = try #require(ProgramID(id))
        return await eventually(within: .seconds(1)) { programs.program(id) != nil && programs.count == 1 }
    }

    @Test("A file replaced by rename, rewritten in place, or behind a link that moves is read again within a second")
    func changes() async throws {
        try await withWatcher { directory, file, programs, replaced, _ in
            #expect(try await holds(programs, "a"))
            try write("b", to: file, atomically: true)
            #expect(try await holds(programs, "b"))
            try write("c", to: file, atomically: false)
            #expect(try await holds(programs, "c"))
            let other = directory.appendingPathComponent("other.json")
            try write("d", to: other, atomically: true)
            let link = directory.appendingPathComponent("link")
            try FileManager.default.createSymbolicLink(at: link, withDestinationURL: other)
            #expect(rename(link.path, file.path) == 0)
            #expect(try await holds(programs, "d"))
            #expect(await eventually { replaced.get() == 3 })
        }
    }

    @Test("A broken file keeps the old programs and says one line; a good one is taken again")
    func broken() async throws {
        try await withWatcher { _, file, programs, replaced, lines in
            try Data("[{\"programId\":\"x\"},".utf8).write(to: file, options: .atomic)
            #expect(await eventually(within: .seconds(1)) { lines.count(containing: "broken") == 1 })
            // Two more looks say nothing more.
            try await Task.sleep(for: .milliseconds(500))
            #expect(lines.count(containing: "broken") == 1)
            #expect(try await holds(programs, "a"))
            #expect(replaced.get() == 0)
            try FileManager.default.removeItem(at: file)
            #expect(await eventually(within: .seconds(1)) { lines.count(containing: "broken") == 2 })
            #expect(try await holds(programs, "a"))
            try write("b", to: file, atomically: true)
            #expect(try await holds(programs, "b"))
        }
    }
}

/// Keeps log lines for a test.
final class LogLines: Sendable {
    private let lines = Locked<[String]>([])

    var logger: Logger { Logger(label: "test") { _ in Handler(lines: self.lines) } }

    func count(containing text: String) -> Int { lines.get().count { $0.contains(text) } }

    private struct Handler: LogHandler {
        let lines: Locked<[String]>
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
        }
    }
}
