import NIOCore
import TestSupport
import Testing

@testable import RedisClient

@Suite("Commands that leave in one write", .timeLimit(.minutes(1)))
struct RedisPipelineTests {
    /// Echoes, begun and then finished.
    private func echoes(_ texts: [String]) -> RedisPipeline {
        let beginning = RedisCommand("ECHO", argumentCount: 1)
        var pipeline = RedisPipeline(commands: 1, bytes: 16)
        for text in texts {
            pipeline.begin(beginning)
            pipeline.append(ByteBuffer(string: text))
        }
        return pipeline
    }

    @Test("an argument is as long as it says", arguments: [0, 1, 9, 10, 99, 100, 101, 999, 1_000, 70_000])
    func lengths(count: Int) {
        let text = String(repeating: "x", count: count)
        #expect(String(buffer: RedisCommand("ECHO", text).encoded) == "*2\r\n$4\r\nECHO\r\n$\(count)\r\n\(text)\r\n")
        var parts = RedisCommand("ECHO", argumentCount: 1)
        parts.append(text.prefix(count / 3).utf8, text.dropFirst(count / 3).utf8)
        #expect(parts.encoded == RedisCommand("ECHO", text).encoded)
    }

    @Test("each command is what it would be alone, and its size is known")
    func bytes() {
        let texts = ["", "a", String(repeating: "b", count: 300), "c d\r\n"]
        let pipeline = self.echoes(texts)
        let commands = texts.map { RedisCommand("ECHO", $0) }
        #expect(String(buffer: pipeline.encoded) == commands.map { String(buffer: $0.encoded) }.joined())
        #expect(Array(pipeline.sizes) == commands.map(\.byteCount))
        #expect(pipeline.count == 4)
    }

    @Test("the replies come in the order of the commands, beside those of others; none for none")
    func replies() async throws {
        try await RedisServer.with { server in
            var configuration = try RedisConfiguration.local(server)
            // Not the speed of a debug build.
            configuration.commandTimeout = .seconds(5)
            try await withClient(configuration) { client in
                try await client.waitUntilReady(for: .seconds(10))
                let texts = (0..<3_000).map { "text \($0)" }
                async let others = client.send(all: texts.map { RedisCommand("ECHO", "other \($0)") })
                let replies = await client.send(self.echoes(texts))
                #expect(replies.map { try? $0.get().text } == texts)
                #expect(await others.map { try? $0.get().text } == texts.map { "other \($0)" })
                #expect(await client.send(self.echoes([])).isEmpty)
            }
        }
    }

    @Test("what does not fit fails as a whole and sends nothing; so does what nobody is there for")
    func refused() async throws {
        try await RedisServer.with { server in
            var configuration = try RedisConfiguration.local(server)
            configuration.maximumPendingCommands = 3
            configuration.commandTimeout = .seconds(5)
            try await withClient(configuration) { client in
                try await client.waitUntilReady(for: .seconds(10))
                let four = await client.send(self.echoes(["a", "b", "c", "d"]))
                #expect(four == Array(repeating: .failure(.overloaded), count: 4))
                let three = await client.send(self.echoes(["a", "b", "c"]))
                #expect(three.map { try? $0.get().text } == ["a", "b", "c"])
                await client.stop()
                #expect(await client.send(self.echoes(["a"])) == [.failure(.disconnected)])
            }
        }
    }
}
