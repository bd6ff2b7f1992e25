import Testing

@testable import HTTPIngress

/// What the parser says about some bytes, as plain values.
enum Parsed: Equatable {
    case incomplete
    case fault(HeadFault)
    case complete(ParsedHead)
}

struct ParsedHead: Equatable {
    var length = 0
    var method = RequestHead.Method.get
    var path = ""
    var query = ""
    var userAgent = ""
    var referrer = ""
    var keepsAlive = true
    var announcesBody = false
    var isHTTP10 = false
}

func parse(_ bytes: [UInt8], _ limits: HeadLimits = HeadLimits()) -> Parsed {
    var parser = HeadParser(limits)
    switch parser.parse(bytes.span) {
    case .incomplete: return .incomplete
    case .fault(let fault): return .fault(fault)
    case .complete(let length):
        let head = parser.head
        func text(_ piece: RequestHead.Piece) -> String {
            String(decoding: bytes[piece.start..<piece.end], as: UTF8.self)
        }
        return .complete(
            ParsedHead(
                length: length,
                method: head.method,
                path: text(head.path),
                query: text(head.query),
                userAgent: text(head.userAgent),
                referrer: text(head.referrer),
                keepsAlive: head.keepsAlive,
                announcesBody: head.announcesBody,
                isHTTP10: head.isHTTP10
            )
        )
    }
}

func parse(_ text: String, _ limits: HeadLimits = HeadLimits()) -> Parsed { parse(Array(text.utf8), limits) }

@Suite("Request heads")
struct HeadParserTests {
    @Test("a head is its parts")
    func parts() {
        let text = """
            GET /event/212312?type=click&a=%20?b HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88 (x; y)\r\n\
            Accept: */*\r\nReferer: https://example.com/a?b\r\n\r\n
            """
        let expected = ParsedHead(
            length: text.utf8.count,
            path: "/event/212312",
            query: "type=click&a=%20?b",
            userAgent: "curl/7.88 (x; y)",
            referrer: "https://example.com/a?b"
        )
        #expect(parse(text) == .complete(expected))
        // What follows is the next request's.
        #expect(parse(text + "GET /next") == .complete(expected))
    }

    @Test(
        "the forms of a target lead to a path and a query",
        arguments: [
            ("/", "/", ""), ("/a?", "/a", ""), ("/a?b?c", "/a", "b?c"), ("/a/../b", "/a/../b", ""), ("//a", "//a", ""),
            ("http://h/a?b", "/a", "b"), ("HTTPS://h:8080/", "/", ""), ("http://h", "", ""),
            ("http://h?a=b", "", "a=b"),
            ("*", "*", ""), ("/%41", "/%41", ""), ("/a?http://b/c", "/a", "http://b/c"),
        ]
    )
    func targets(target: String, path: String, query: String) {
        guard case .complete(let head) = parse("GET \(target) HTTP/1.1\r\nHost: h\r\n\r\n") else {
            Issue.record("\(target) is not accepted")
            return
        }
        #expect(head.path == path)
        #expect(head.query == query)
    }

    @Test(
        "a connection stays as long as both sides want",
        arguments: [
            ("1.1", "", true), ("1.1", "Connection: close\r\n", false), ("1.1", "Connection: CLOSE\r\n", false),
            ("1.1", "Connection: close\t\t\r\n", false),
            ("1.1", "Connection: keep-alive\r\n", true), ("1.1", "Connection: x, close ,y\r\n", false),
            ("1.1", "Connection: closed\r\n", true), ("1.1", "Connection:\r\n", true),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false), ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", true), ("1.0", "Connection: keep-alive, close\r\n", false),
        ]
    )
    func persistence(version: String, field: String, keepsAlive: Bool) {
        guard case .complete(let head) = parse("GET / HTTP/\(version)\r\nHost: a\r\n\(field)\r\n") else {
            Issue.record("not accepted")
            return
        }
        #expect(head.keepsAlive == keepsAlive)
        #expect(head.isHTTP10 == (version == "1.0"))
    }

    @Test(
        "a body is announced by a length or a transfer coding",
        arguments: [
            ("", false), ("Content-Length: 0\r\n", false), ("Content-Length: 000\r\n", false),
            ("Content-Length: 1\r\n", true),
            ("Content-Length: 99999999999999999999999\r\n", true), ("Transfer-Encoding: chunked\r\n", true),
            ("Transfer-Encoding: CHUNKED\r\n", true),
        ]
    )
    func bodies(field: String, isAnnounced: Bool) {
        guard case .complete(let head) = parse("POST / HTTP/1.1\r\nHost: a\r\n\(field)\r\n") else {
            Issue.record("not accepted")
            return
        }
        #expect(head.announcesBody == isAnnounced)
    }

    @Test(
        "what two readers could understand in two ways is malformed",
        arguments: HeadCorpus.malformed
    )
    func malformed(head: String) {
        #expect(parse(head) == .fault(.malformed))
    }

    @Test(
        "other versions and methods have answers of their own",
        arguments: HeadCorpus.unserved
    )
    func others(head: String, fault: HeadFault) {
        #expect(parse(head) == .fault(fault))
    }

    @Test("every prefix of a good head is incomplete, and the whole is complete", arguments: HeadCorpus.good)
    func prefixes(head: String) {
        let bytes = Array(head.utf8)
        for end in 0..<bytes.count where parse(Array(bytes[..<end])) != .incomplete {
            Issue.record("\(end) bytes of \(head) are \(parse(Array(bytes[..<end])))")
        }
        guard case .complete(let parsed) = parse(bytes) else {
            Issue.record("\(head) is not accepted")
            return
        }
        #expect(parsed.length == bytes.count)
    }

    @Test("one parser that is fed byte by byte says the same as one that gets all at once", arguments: HeadCorpus.good)
    func byteByByte(head: String) {
        let bytes = Array((head + head).utf8)
        var parser = HeadParser(HeadLimits())
        for end in 1...bytes.count {
            let prefix = Array(bytes[..<end])
            let result = parser.parse(prefix.span)
            if case .complete(let length) = result {
                #expect(length == end && end == head.utf8.count)
                #expect(parser.head.path.end > 0)
                return
            }
        }
        Issue.record("never complete")
    }

    // MARK: Limits

    @Test("a target of 8 KiB is read, one byte more is too long, also before its end has come")
    func targetLimit() {
        let target = "/" + String(repeating: "a", count: 8_191)
        guard case .complete = parse("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n") else {
            Issue.record("8 KiB are refused")
            return
        }
        #expect(parse("GET \(target)a HTTP/1.1\r\nHost: a\r\n\r\n") == .fault(.targetTooLong))
        #expect(parse("GET \(target)a") == .fault(.targetTooLong))
        #expect(parse("GET \(target)") == .incomplete)
    }

    @Test("a head of 16 KiB is read, one byte more is too large, also before its end has come")
    func headLimit() {
        func head(_ size: Int) -> String {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
            return start + String(repeating: "x", count: size - start.utf8.count - 4) + "\r\n\r\n"
        }
        guard case .complete(let parsed) = parse(head(16_384)) else {
            Issue.record("16 KiB are refused")
            return
        }
        #expect(parsed.length == 16_384)
        #expect(parse(head(16_385)) == .fault(.headTooLarge))
        let endless = Array(head(20_000).utf8)
        #expect(parse(Array(endless[..<16_384])) == .incomplete)
        #expect(parse(Array(endless[..<16_385])) == .fault(.headTooLarge))
        // The empty line before a head is not part of it.
        guard case .complete = parse("\r\n" + head(16_384)) else {
            Issue.record("16 KiB after an empty line are refused")
            return
        }
    }

    @Test(
        "what is wrong behind a limit changes nothing: the answer is the same however the bytes arrive",
        arguments: [
            ("GET /", 8_192, "#f HTTP/1.1\r\nHost: a\r\n\r\n", HeadFault.targetTooLong),
            ("GET /", 8_192, "\r\n\r\n", .targetTooLong),
            ("GET / HTTP/1.1\r\nX: ", 16_384, "\0\r\n\r\n", .headTooLarge),
            ("GET / HTTP/1.1\r\nX: ", 16_384, "\r\n\r\n", .headTooLarge),
        ]
    )
    func faultsBehindLimits(start: String, fill: Int, end: String, fault: HeadFault) {
        let bytes = Array((start + String(repeating: "a", count: fill) + end).utf8)
        // Around the limits of the target, of the head, and at the end.
        for end in Array(8_190...8_210) + Array(16_380...16_410) where end <= bytes.count {
            switch parse(Array(bytes[..<end])) {
            case .incomplete where end < 16_385, .fault(fault): continue
            case let other: Issue.record("\(end) bytes are \(other)")
            }
        }
        #expect(parse(bytes) == .fault(fault))
    }

    @Test("64 fields are read, 65 are too many")
    func fieldLimit() {
        func head(_ fields: Int) -> String {
            "GET / HTTP/1.1\r\nHost: a\r\n" + (1..<fields).map { "X-\($0): \($0)\r\n" }.joined() + "\r\n"
        }
        guard case .complete = parse(head(64)) else {
            Issue.record("64 fields are refused")
            return
        }
        #expect(parse(head(65)) == .fault(.headTooLarge))
    }

    @Test("4 KiB of cookies and 50 fields work")
    func ordinaryLargeHead() {
        let cookie = "Cookie: " + String(repeating: "a=b; ", count: 820) + "\r\n"
        let fields = (0..<48).map { "X-\($0): \($0)\r\n" }.joined()
        guard case .complete = parse("GET / HTTP/1.1\r\nHost: a\r\n" + cookie + fields + "\r\n") else {
            Issue.record("refused")
            return
        }
    }

    @Test("every byte value is judged wherever it stands in a value")
    func valueBytes() {
        for byte in UInt8.min...UInt8.max {
            for padding in 0..<20 {
                let start =
                    Array("GET / HTTP/1.1\r\nHost: a\r\nX: ".utf8) + Array(repeating: UInt8(ascii: "x"), count: padding)
                let parsed = parse(start + [byte] + Array("y\r\n\r\n".utf8))
                let isAllowed = byte == 9 || byte >= 0x20 && byte != 0x7f
                switch parsed {
                case .complete where isAllowed, .fault(.malformed) where !isAllowed: continue
                default: Issue.record("byte \(byte) after \(padding): \(parsed)")
                }
            }
        }
    }

    @Test("every byte value is judged in a name, as RFC 9110 has it")
    func nameBytes() {
        let token = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min...UInt8.max {
            #expect(byte.isTokenCharacter == token.contains(byte))
            let parsed = parse(Array("GET / HTTP/1.1\r\nHost: a\r\nX".utf8) + [byte] + Array("Y: z\r\n\r\n".utf8))
            switch parsed {
            case .complete where token.contains(byte) || byte == UInt8(ascii: ":"): continue
            case .fault(.malformed) where !token.contains(byte): continue
            default: Issue.record("byte \(byte): \(parsed)")
            }
        }
    }
}
