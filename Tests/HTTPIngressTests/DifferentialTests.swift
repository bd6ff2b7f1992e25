import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import HTTPIngress

/// What a parser reads out of a connection's bytes: the request lines, up to where it stops.
private struct Reading {
    var requests: [String] = []
    /// Nothing after it is a request: the connection closes, or a body comes that we don't read.
    var hasEnded = false
}

@Suite("Two parsers")
struct DifferentialTests {
    /// llhttp, as SwiftNIO wraps it.
    private func theirs(_ bytes: [UInt8]) -> [String] {
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes))
        do { try channel.pipeline.syncOperations.addHandler(decoder) } catch { Issue.record(error) }
        _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
        var requests: [String] = []
        while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
            if case .head(let head) = part { requests.append("\(head.method.rawValue) \(head.uri)") }
        }
        return requests
    }

    private func ours(_ bytes: [UInt8]) -> Reading {
        var reading = Reading()
        var parser = HeadParser(HeadLimits())
        var rest = bytes
        while !reading.hasEnded, case .complete(let length) = parser.parse(rest.span) {
            let head = parser.head
            let isEmptyLineFirst = rest.first == 0x0d
            let line = rest[(isEmptyLineFirst ? 2 : 0)...].prefix { $0 != 0x0d }
            let words = line.split(separator: 0x20, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
            let query = String(decoding: rest[head.query.start..<head.query.end], as: UTF8.self)
            let path = String(decoding: rest[head.path.start..<head.path.end], as: UTF8.self)
            let isExpected: Bool =
                switch head.method {
                case .get: words[0] == "GET"
                case .head: words[0] == "HEAD"
                case .other: words[0] != "GET" && words[0] != "HEAD"
                case .unknown: false
                }
            if !isExpected || !words[1].hasSuffix(path + (query.isEmpty ? "" : "?" + query)) && !words[1].hasSuffix("?")
            {
                Issue.record("\(head) of \(line)")
            }
            reading.requests.append("\(words[0]) \(words[1])")
            reading.hasEnded = head.announcesBody || !head.keepsAlive
            rest.removeFirst(length)
        }
        return reading
    }

    private static let lines = [
        "GET / HTTP/1.1", "GET /event/212312?type=click&a=%20 HTTP/1.1", "HEAD /health/check HTTP/1.1",
        "GET /a HTTP/1.0",
        "GET http://h/a?b HTTP/1.1", "POST /event/1 HTTP/1.1", "OPTIONS * HTTP/1.1", "DELETE /x HTTP/1.1",
        "PATCH /x?y HTTP/1.1", "PUT /x HTTP/1.1",
    ]

    private static let fields = [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: */*", "Connection: keep-alive", "Connection: close",
        "Referer: https://example.com/?q", "Content-Length: 0", "Content-Length: 3", "Transfer-Encoding: chunked",
        "X:", "X: \t a \t", "Cookie: a=b; c=d", "X: \u{e4}", "Content-Length: 1", "Transfer-Encoding: identity",
        "Host: b",
    ]

    private static let splices = [
        "\r\n", "\n", "\r", " ", "\t", ":", "\0", "\u{7f}", "GET / HTTP/1.1\r\n", "Host: x\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n", "Transfer-Encoding:\u{b}chunked\r\n", "\r\n\r\n", "0\r\n\r\n", "%", "#", "?",
        "//",
        "HTTP/1.1", "\u{ff}",
    ]

    private func head(_ random: inout SeededBits) -> String {
        var text = Int.random(in: 0..<20, using: &random) == 0 ? "\r\n" : ""
        text += Self.lines[Int.random(in: 0..<Self.lines.count, using: &random)] + "\r\nHost: a\r\n"
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            text += Self.fields[Int.random(in: 0..<Self.fields.count, using: &random)] + "\r\n"
        }
        return text + "\r\n"
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SeededBits) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1 where bytes.count > 1: bytes.remove(at: place)
        case 2: bytes.insert(bytes[place], at: place)
        case 3:
            bytes.insert(
                contentsOf: Self.splices[Int.random(in: 0..<Self.splices.count, using: &random)].utf8,
                at: place
            )
        default: bytes[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
        }
    }

    /// Where llhttp is stricter than we are, or does what we do not: later minor versions of HTTP/1 (we serve them as 1.1,
    /// section 2.5 of RFC 9110), UTF-8 that was not percent-encoded (some clients send it; what it says is one thing
    /// only), and connections that become something else.
    private func isComparable(_ bytes: [UInt8]) -> Bool {
        let lines = bytes.split(separator: 0x0a)
        let hasRawText = lines.contains { line in
            line.contains { $0 >= 0x80 } && String(decoding: line, as: UTF8.self).contains("HTTP/")
        }
        if hasRawText { return false }
        let text = String(decoding: bytes, as: UTF8.self)
        if text.contains("CONNECT") || text.lowercased().contains("upgrade") { return false }
        return !(2...9).contains { text.contains("HTTP/1.\($0)") }
    }

    @Test("whatever ours accepts, llhttp reads as the same requests", arguments: 1...10)
    func agree(block: Int) {
        var accepted = 0
        for run in 0..<2_000 {
            var random = SeededBits(state: UInt64(block * 1_000_000 + run))
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 1...3, using: &random) { bytes += Array(self.head(&random).utf8) }
            for _ in 0..<Int.random(in: 0...3, using: &random) { self.mutate(&bytes, &random) }
            guard self.isComparable(bytes) else { continue }
            let ours = self.ours(bytes)
            guard !ours.requests.isEmpty else { continue }
            accepted += 1
            let theirs = self.theirs(bytes)
            if Array(theirs.prefix(ours.requests.count)) != ours.requests {
                Issue.record(
                    "block \(block), run \(run): ours \(ours.requests), theirs \(theirs) of \(String(decoding: bytes, as: UTF8.self).debugDescription)"
                )
                return
            }
        }
        // Else nothing would have been compared.
        #expect(accepted > 700)
    }
}

/// splitmix64, so that a failure can be seen again.
struct SeededBits: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var bits = self.state
        bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
        return bits ^ (bits >> 31)
    }
}
