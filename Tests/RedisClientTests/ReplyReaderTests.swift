import NIOCore
import Testing

@testable import RedisClient

@Suite("Replies through hiredis")
struct ReplyReaderTests {
    private func makeReader(bytes: Int = 1024 * 1024, elements: Int = 1000) throws -> ReplyReader {
        try #require(ReplyReader(limits: .init(bytes: bytes, elements: elements)))
    }

    private func read(_ reader: ReplyReader, _ text: String) throws -> [RESPValue] {
        var values: [RESPValue] = []
        try reader.read(ByteBuffer(string: text)) { values.append($0) }
        return values
    }

    private func bulk(_ text: String) -> RESPValue { .bulk(ByteBuffer(string: text)) }

    @Test("Every kind of reply is understood, also many in one read")
    func kinds() throws {
        let text = "+OK\r\n-ERR no\r\n:-42\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n$0\r\n\r\n*0\r\n"
        #expect(
            try read(makeReader(), text) == [
                .status(ByteBuffer(string: "OK")), .error("ERR no"), .integer(-42), bulk("a\r\n"), .null, .null,
                bulk(""),
                .array([]),
            ]
        )
    }

    @Test("Nested arrays keep their shape")
    func nested() throws {
        let text = "*3\r\n*2\r\n$1\r\na\r\n:1\r\n*0\r\n*1\r\n*1\r\n$1\r\nb\r\n"
        #expect(
            try read(makeReader(), text) == [
                .array([.array([bulk("a"), .integer(1)]), .array([]), .array([.array([bulk("b")])])])
            ]
        )
    }

    @Test("A reply that comes byte by byte is the same reply")
    func dribble() throws {
        let reader = try makeReader()
        let text = "*4\r\n$11\r\nprogramName\r\n$3\r\nr\u{e9}\r\n$5\r\nvalid\r\n$4\r\ntrue\r\n+OK\r\n"
        var values: [RESPValue] = []
        for byte in text.utf8 { try reader.read(ByteBuffer(bytes: [byte])) { values.append($0) } }
        #expect(
            values == [
                .array([bulk("programName"), bulk("r\u{e9}"), bulk("valid"), bulk("true")]),
                .status(ByteBuffer(string: "OK")),
            ]
        )
    }

    @Test("An array larger than the bound is refused before anything is allocated for it")
    func elementBound() throws {
        #expect(throws: RedisError(.violation, "A reply of Redis has more than 1000 elements.")) {
            try read(makeReader(), "*1000000000\r\n")
        }
        // The bound counts over all arrays of a reply.
        #expect(throws: RedisError.self) {
            try read(makeReader(), "*2\r\n*600\r\n" + String(repeating: ":1\r\n", count: 600) + "*600\r\n")
        }
        // And begins anew with the next reply.
        let nine = "*900\r\n" + String(repeating: ":1\r\n", count: 900)
        #expect(try read(makeReader(), nine + nine).count == 2)
    }

    @Test("A string larger than the bound is refused while it arrives")
    func byteBound() throws {
        let reader = try makeReader(bytes: 1000)
        #expect(try read(reader, "$1000000000\r\n" + String(repeating: "x", count: 900)).isEmpty)
        #expect(throws: RedisError(.violation, "A reply of Redis is larger than 1000 bytes.")) {
            try read(reader, String(repeating: "x", count: 200))
        }
    }

    @Test("Many small strings together are held to the same bound")
    func byteBoundOverElements() throws {
        let reader = try makeReader(bytes: 1000)
        let text = "*900\r\n" + String(repeating: "$10\r\n0123456789\r\n", count: 101)
        #expect(throws: RedisError.self) { try read(reader, text) }
    }

    @Test("A line that does not end is refused, a long string is not mistaken for one")
    func endlessLine() throws {
        #expect(throws: RedisError(.violation, "A line from Redis does not end.")) {
            try read(makeReader(), "+" + String(repeating: "x", count: 70_000))
        }
        #expect(throws: RedisError(.violation, "A line from Redis does not end.")) {
            try read(makeReader(), "$" + String(repeating: "1", count: 70_000))
        }
        let reader = try makeReader()
        #expect(try read(reader, "$100000\r\n" + String(repeating: "x", count: 70_000)).isEmpty)
        #expect(try read(reader, String(repeating: "x", count: 30_000) + "\r\n").count == 1)
    }

    @Test(
        "What is not RESP2 is refused",
        arguments: [
            "%1\r\n", "_\r\n", "HTTP/1.1 400 Bad Request\r\n", ":12a\r\n", "*4294967296\r\n", "$-2\r\n", "*-2\r\n",
            "$x\r\n",
        ]
    )
    func notRedis(text: String) throws {
        #expect(throws: RedisError.self) { try read(makeReader(), text) }
    }

    @Test("Nesting is bounded")
    func nesting() throws {
        #expect(throws: RedisError.self) { try read(makeReader(), String(repeating: "*1\r\n", count: 20)) }
    }

    @Test("Replies before a violation in the same read are not lost")
    func repliesBeforeViolation() throws {
        var values: [RESPValue] = []
        #expect(throws: RedisError.self) {
            try makeReader().read(ByteBuffer(string: "+OK\r\n:1\r\n?")) { values.append($0) }
        }
        #expect(values.count == 2)
    }

    @Test("Random damage never traps")
    func damage() throws {
        let whole = Array("*2\r\n$3\r\nabc\r\n*2\r\n:1\r\n$-1\r\n-ERR x\r\n+OK\r\n$4\r\nabcd\r\n".utf8)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let reader = try makeReader()
            let cut = Int.random(in: 0...bytes.count, using: &random)
            for part in [bytes[..<cut], bytes[cut...]] {
                do { try reader.read(ByteBuffer(bytes: part)) { _ in } } catch { break }
            }
        }
    }

    @Test("The pairs of an HGETALL reply are given in order, anything else is no list of pairs")
    func pairs() throws {
        var pairs: [String] = []
        let reply = RESPValue.array([bulk("a"), bulk("1"), bulk("b"), bulk("")])
        let arePairs = reply.forEachPair { field, value in
            let (field, value) = (field.withUnsafeBytes(Array.init), value.withUnsafeBytes(Array.init))
            pairs.append(String(decoding: field, as: UTF8.self) + "=" + String(decoding: value, as: UTF8.self))
        }
        #expect(arePairs)
        #expect(pairs == ["a=1", "b="])
        for other in [RESPValue.array([bulk("a")]), .array([bulk("a"), .integer(1)]), .null, .error("WRONGTYPE x")] {
            let arePairs = other.forEachPair { _, _ in }
            #expect(!arePairs)
        }
    }

    @Test("An array is the same whether its strings came as one reply or one by one")
    func forms() throws {
        let reader = try #require(ReplyReader(limits: .init(bytes: 1024, elements: 16)))
        var values: [RESPValue] = []
        try reader.read(ByteBuffer(string: "*2\r\n$1\r\na\r\n$0\r\n\r\n")) { values.append($0) }
        let oneByOne = RESPValue.array([bulk("a"), bulk("")])
        #expect(values == [oneByOne])
        #expect(Set(values + [oneByOne, .array([bulk("a")]), .array([])]).count == 3)
        #expect(values.first?.elements?.map(\.text) == ["a", ""])
    }
}
