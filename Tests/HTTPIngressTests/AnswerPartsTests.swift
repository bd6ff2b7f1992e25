import NIOCore
import Testing
import TrackingModel
import TrackingPipeline

@testable import HTTPIngress

@Suite("Parts of answers")
struct AnswerPartsTests {
    @Test(
        "a date is IMF-fixdate",
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_795_253_400, "Sat, 21 Nov 2026 09:30:00 GMT"), (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_803_859_199, "Sun, 28 Feb 2027 23:59:59 GMT"), (1_803_859_200, "Mon, 01 Mar 2027 00:00:00 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"), (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] as [(Int64, String)]
    )
    func dates(second: Int64, text: String) {
        #expect(String(decoding: HTTPDate.text(second), as: UTF8.self) == text)
    }

    private func text(_ body: (ResponseHeads, inout ByteBuffer) -> Void) -> String {
        let heads = ResponseHeads()
        heads.update(Timestamp(milliseconds: 784_111_777_000))
        var out = ByteBuffer()
        body(heads, &out)
        return String(buffer: out)
    }

    @Test("a refusal says what the contract has")
    func refusal() {
        let body = #"{"error":"program_not_found","message":"No program has this id."}"#
        #expect(
            self.text { $0.put(.refused(.programNotFound), .stays, to: &$1) }
                == "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n"
                + "Cache-Control: no-store\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
        )
    }

    @Test("every outcome has a status line, a length that is true and its code", arguments: Outcome.allCases)
    func outcomes(outcome: Outcome) throws {
        for connection in ResponseHeads.Connection.allCases {
            let text = self.text { $0.put(outcome, connection, to: &$1) }
            let parts = text.split(separator: "\r\n\r\n", maxSplits: 1)
            try #require(parts.count == 2)
            let fields = parts[0].split(separator: "\r\n")
            #expect(fields[0] == "HTTP/1.1 \(outcome.status) \(Answer.reason(outcome.status))")
            #expect(fields.contains("Content-Length: \(parts[1].utf8.count)"))
            #expect(parts[1].contains("\"error\":\"\(outcome.code)\""))
            #expect(fields.contains("Retry-After: 1") == (outcome.status == 503))
            #expect(fields.contains("Connection: close") == (connection == .closes))
            #expect(fields.contains("Connection: keep-alive") == (connection == .staysSaid))
            #expect(Answer.reason(outcome.status) != "Internal Server Error")
        }
    }

    @Test("outcomes have places without gaps and codes of their own")
    func places() {
        #expect(Outcome.allCases.map(\.index) == Array(0..<Outcome.allCases.count))
        #expect(Set(Outcome.allCases.map(\.code)).count == Outcome.allCases.count)
    }

    @Test("a moment that lies a little back is as much earlier on both clocks")
    func earlierMoment() {
        var clocks = Clocks()
        let now = Clocks.monotonic()
        let latest = clocks.moment(at: now)
        let earlier = clocks.moment(at: now - 500_000_000)
        #expect(latest.monotonic - earlier.monotonic == 500_000_000)
        #expect((499...501).contains(latest.wall.milliseconds - earlier.wall.milliseconds))
        #expect(clocks.moment(at: now).wall == latest.wall)
    }

    @Test("the date is renewed when its second is over")
    func renewal() {
        let heads = ResponseHeads()
        var out = ByteBuffer()
        for milliseconds in [784_111_777_000, 784_111_777_999, 784_111_778_000] as [Int64] {
            heads.update(Timestamp(milliseconds: milliseconds))
            heads.put(.notFound, .stays, to: &out)
        }
        let text = String(buffer: out)
        #expect(text.split(separator: "08:49:37").count == 3)
        #expect(text.split(separator: "08:49:38").count == 2)
    }

    @Test("an answer to HEAD announces the body and leaves it away")
    func head() {
        let answer = Answer(status: 200, body: Array("{}".utf8))
        let text = self.text { $0.put(answer, .stays, withBody: false, to: &$1) }
        #expect(text.hasSuffix("Content-Length: 2\r\n\r\n"))
    }

    @Test(
        "what is kept of an address is what the policy leaves",
        arguments: [
            ("192.0.2.77", ClientAddressPolicy.full, "192.0.2.77"), ("192.0.2.77", .truncated, "192.0.2.0"),
            ("192.0.2.77", .none, ""), ("2001:db8:1:2:3:4:5:6", .full, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", .truncated, "2001:db8:1::"), ("::1", .truncated, "0:0:0::"), ("::1", .none, ""),
            ("::ffff:192.0.2.77", .truncated, "192.0.2.0"),
        ]
    )
    func addresses(address: String, policy: ClientAddressPolicy, kept: String) throws {
        let socket = try SocketAddress(ipAddress: address, port: 1)
        #expect(String(decoding: policy.apply(to: socket), as: UTF8.self) == kept)
        #expect(policy.apply(to: nil).isEmpty)
    }

    @Test("a truncated address is an address that names the same network")
    func truncatedIsAnAddress() throws {
        for address in ["192.0.2.77", "2001:db8:1:2::6", "::1", "fe80::1"] {
            let kept = ClientAddressPolicy.truncated.apply(to: try SocketAddress(ipAddress: address, port: 1))
            let again = try SocketAddress(ipAddress: String(decoding: kept, as: UTF8.self), port: 1)
            #expect(ClientAddressPolicy.truncated.apply(to: again) == kept)
        }
    }

    @Test("a duration lies in the bucket whose bound it does not pass")
    func durations() {
        var histogram = DurationHistogram()
        for bound in DurationHistogram.bounds { histogram.record(nanoseconds: UInt64(bound * 1e9)) }
        for bound in DurationHistogram.bounds { histogram.record(nanoseconds: UInt64(bound * 1e9) + 1) }
        var expected = Array(repeating: UInt64(2), count: DurationHistogram.bounds.count + 1)
        expected[0] = 1
        expected[DurationHistogram.bounds.count] = 1
        #expect(histogram.buckets == expected)
        var sum = histogram
        sum.add(histogram)
        #expect(sum.buckets == expected.map { $0 * 2 })
        #expect(sum.nanoseconds == histogram.nanoseconds * 2)
    }

    @Test("books balance in every copy, and only tracking requests are received")
    func books() {
        var books = RequestBooks()
        for (index, outcome) in Outcome.allCases.enumerated() {
            books.enter(outcome, route: .event, count: UInt64(index + 1))
            books.enter(outcome, route: .healthCheck)
        }
        let both = books + books
        for books in [books, both] {
            let rejected = books.rejected.map(\.count).reduce(0, +)
            #expect(books.received == books.accepted + rejected + books.unavailable + books.shed)
        }
        #expect(both.received == 2 * books.received)
        #expect(books.series.count == 4 * Outcome.allCases.count)
    }
}
