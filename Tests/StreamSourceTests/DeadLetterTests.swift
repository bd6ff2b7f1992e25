import Foundation
import Logging
import NIOCore
import NIOPosix
import RedisClient
import TestSupport
import Testing
import TrackingModel

@testable import StreamSource

@Suite("Dead letters")
struct DeadLetterTests {
    private func letter(_ origin: String, _ bytes: [UInt8] = [1, 2, 255]) -> DeadLetter {
        DeadLetter(
            source: "redis:events",
            record: StreamRecord(origin: origin, bytes: bytes),
            damage: Damage(.undecodable, "It is no event."),
            time: Timestamp(milliseconds: 1_000)
        )
    }

    private func lines(_ directory: String) throws -> [[String: String]] {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".jsonl") }
        return try names.sorted().flatMap { name in
            try String(contentsOfFile: directory + "/" + name, encoding: .utf8).split(separator: "\n")
        }.map { try JSONDecoder().decode([String: String].self, from: Data($0.utf8)) }
    }

    @Test("A file has an object a line with reason, origin, time and the record in base64")
    func files() async throws {
        try await TestDirectory.with { directory async throws in
            let place = DeadLetterFiles(directory: directory.path + "/a/b")
            try await place.keep([self.letter("7-0"), self.letter("8-0")])
            let lines = try self.lines(directory.path + "/a/b")
            #expect(lines.map { $0["origin"] } == ["7-0", "8-0"])
            #expect(lines[0]["reason"] == "undecodable")
            #expect(lines[0]["time"] == "1970-01-01T00:00:01Z")
            #expect(lines[0]["record"] == Data([1, 2, 255]).base64EncodedString())
        }
    }

    @Test("The same record is kept once, also by the next process, and after a torn last line")
    func once() async throws {
        try await TestDirectory.with { directory async throws in
            let first = DeadLetterFiles(directory: directory.path)
            try await first.keep([self.letter("7-0"), self.letter("7-0")])
            try await first.keep([self.letter("7-0")])
            try directory.write(#"{"reason":"und"#, to: "0.jsonl")
            try await DeadLetterFiles(directory: directory.path).keep([self.letter("7-0"), self.letter("9-0")])
            try FileManager.default.removeItem(atPath: directory.path + "/0.jsonl")
            #expect(try self.lines(directory.path).compactMap { $0["origin"] }.sorted() == ["7-0", "9-0"])
        }
    }

    @Test("A message is never longer than it may be, and says how much of the record is missing", arguments: 0..<8)
    func messages(more: Int) throws {
        let whole = self.letter("7-0", [UInt8](repeating: 7, count: 30_000 + more))
        func fields(_ bytes: [UInt8]) throws -> (record: Data?, omitted: Int?, identity: String?) {
            let object = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
            let record = (object?["record"] as? String).flatMap { Data(base64Encoded: $0) }
            return (record, object?["omitted"] as? Int, object?["identity"] as? String)
        }
        let all = DeadLetterQueue.message(whole, atMost: 1 << 20)
        #expect(try fields(all).record?.count == 30_000 + more && fields(all).omitted == nil)
        #expect(DeadLetterQueue.message(whole, atMost: all.count) == all)
        let short = DeadLetterQueue.message(whole, atMost: 10_000 + more)
        let kept = try #require(fields(short).record?.count)
        #expect(short.count <= 10_000 + more && short.count > 9_990)
        #expect(try fields(short).omitted == 30_000 + more - kept && fields(short).identity == fields(all).identity)
    }

    @Test("Where nothing can be written it is a failure, not a loss")
    func failure() async throws {
        try await TestDirectory.with { directory async throws in
            try directory.write("a file", to: "taken")
            let place = DeadLetterFiles(directory: directory.path + "/taken")
            await #expect(throws: StreamFailure.self) { try await place.keep([self.letter("7-0")]) }
            try FileManager.default.removeItem(atPath: directory.path + "/taken")
            try await place.keep([self.letter("7-0")])
            #expect(try self.lines(directory.path + "/taken").count == 1)
        }
    }

    @Test("A Redis stream has an entry each, once")
    func stream() async throws {
        try await RedisServer.with { server in
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            var redis = try RedisConfiguration(url: server.url)
            redis.commandTimeout = .seconds(5)
            for _ in 0..<2 {
                let place = DeadLetterStream(
                    key: "dead",
                    redis: redis,
                    on: group.next(),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                )
                await place.start()
                try await place.keep([self.letter("7-0"), self.letter("8-0"), self.letter("7-0")])
                await place.stop()
            }
            try await group.shutdownGracefully()
            #expect(try server.cli("XLEN", "dead") == "2")
            let entry = try server.cli("XRANGE", "dead", "-", "+", "COUNT", "1")
            #expect(entry.contains("origin\n7-0\n"))
            #expect(entry.contains("record\nAQL/\n"))
        }
    }
}
