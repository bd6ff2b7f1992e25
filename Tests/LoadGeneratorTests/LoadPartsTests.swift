import FoundationEssentials
import NIOCore
import Testing

@testable import LoadGenerator

@Suite("The schedule of a run")
struct LoadProfileTests {
    private func starts(_ shape: LoadProfile.Shape, rate: Double, seconds: Int) -> [Double] {
        var schedule = LoadProfile(shape: shape, rate: rate, duration: .seconds(seconds)).schedule()
        var starts: [Double] = []
        while !schedule.isOver {
            starts.append(schedule.next)
            schedule.advance()
        }
        return starts
    }

    @Test("a steady profile is due at even distances, and the last second has as many requests as the first")
    func steady() {
        let starts = starts(.steady, rate: 20_000, seconds: 30)
        #expect(starts.count == 600_000)
        #expect(starts.filter { $0 >= 29 }.count == 20_000)
    }

    @Test("a ramp begins at a tenth and ends at the rate")
    func ramp() {
        let starts = starts(.ramp, rate: 1_000, seconds: 10)
        #expect(abs(starts.count - 5_500) < 60)
        #expect(abs(starts.filter { $0 < 1 }.count - 145) < 15)
        #expect(abs(starts.filter { $0 >= 9 }.count - 955) < 20)
    }

    @Test("a spike has the whole rate in its middle fifth and a fifth of it elsewhere")
    func spike() {
        let starts = starts(.spike, rate: 1_000, seconds: 10)
        #expect(abs(starts.filter { $0 >= 4 && $0 < 6 }.count - 2_000) < 10)
        #expect(abs(starts.filter { $0 < 4 }.count - 800) < 10)
    }

    @Test("a schedule that was cut short is over")
    func cut() {
        var schedule = LoadProfile(shape: .steady, rate: 1, duration: .seconds(100)).schedule()
        schedule.advance()
        #expect(!schedule.isOver)
        schedule.cut(at: 0.5)
        #expect(schedule.isOver)
    }
}

@Suite("The parser of responses")
struct ResponseParserTests {
    private func outcome(_ text: String) -> ResponseParser.Outcome {
        ResponseParser().next(in: ByteBuffer(string: text))
    }

    @Test("a response is found wherever its bytes are cut, and never before its last one")
    func cutAnywhere() {
        let text = "HTTP/1.1 200 OK\r\ncontent-LENGTH:  5 \r\nX: y\r\n\r\nhello"
        for length in 0..<text.utf8.count {
            #expect(outcome(String(decoding: text.utf8.prefix(length), as: UTF8.self)) == .incomplete)
        }
        let body = (text.utf8.count - 5)..<text.utf8.count
        #expect(outcome(text + "HTTP/1.1 4") == .response(.init(status: 200, closes: false, body: body)))
    }

    @Test(
        "what decides over the connection is understood",
        arguments: [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", false),
        ]
    )
    func connection(text: String, closes: Bool) throws {
        guard case .response(let response) = outcome(text) else {
            Issue.record("not a response: \(text)")
            return
        }
        #expect(response.closes == closes)
    }

    @Test("a response without a length lasts until the connection ends")
    func untilClose() {
        #expect(outcome("HTTP/1.1 200 OK\r\n\r\nhello") == .untilClose(status: 200))
    }

    @Test(
        "what is no such response is malformed",
        arguments: [
            "HTTP/2 200\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 099 No\r\n\r\n", "hello\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
            "HTTP/1.1 2000\r\n\r\n",
        ]
    )
    func malformed(text: String) {
        #expect(outcome(text) == .malformed)
    }

    @Test("a head without an end is given up at 64 KiB")
    func endless() {
        #expect(outcome("HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: 65_536)) == .malformed)
    }
}

@Suite("What a run asks")
struct RequestMixTests {
    @Test("the shares of unknown and invalid ids come out as asked")
    func shares() throws {
        let mix = try RequestMix(paths: ["/event/known"], unknown: 0.2, invalid: 0.1)
        var writer = RequestWriter(mix: mix, target: try LoadTarget(url: "http://h:1"), seed: 7)
        var counts = (known: 0, unknown: 0, other: 0)
        var unknown = Set<String>()
        for _ in 0..<10_000 {
            var buffer = ByteBuffer()
            _ = writer.append(to: &buffer)
            let line = String(buffer: buffer).prefix { $0 != "\r\n" }
            if line == "GET /event/known HTTP/1.1" {
                counts.known += 1
            } else if line.hasPrefix("GET /event/unknown-") {
                counts.unknown += 1
                unknown.insert(String(line))
            } else {
                counts.other += 1
            }
        }
        #expect(abs(counts.known - 7_000) < 200)
        #expect(abs(counts.unknown - 2_000) < 200)
        #expect(abs(counts.other - 1_000) < 150)
        #expect(unknown.count == counts.unknown)
    }

    @Test("a request is complete, and names the host as the URL does")
    func request() throws {
        let mix = try RequestMix(paths: ["/event/a?type=click"])
        var writer = RequestWriter(mix: mix, target: try LoadTarget(url: "HTTP://[::1]:8080/base/"), seed: 1)
        var buffer = ByteBuffer()
        let tracks = writer.append(to: &buffer)
        #expect(tracks)
        let text = String(buffer: buffer)
        #expect(text.hasPrefix("GET /base/event/a?type=click HTTP/1.1\r\nHost: [::1]:8080\r\n"))
        #expect(text.hasSuffix("\r\n\r\n"))
    }

    @Test("a line is an id or a path; what could not stand in a request line is percent-encoded")
    func lines() throws {
        let paths = try RequestMix.paths(ofLines: "212312\r\n# note\n\n/event/x?a=b c\n  ü\n/health/check\n")
        #expect(paths == ["/event/212312", "/event/x?a=b%20c", "/event/%C3%BC", "/health/check"])
    }

    @Test("a program is asked for as its own rules demand")
    func programs() throws {
        let json = """
            [{"programId": "plain", "checksum": "c"},
             {"programId": 7, "requireChecksum": "true", "checksum": "a&b"},
             {"programId": "rules", "parameters": {"types": ["conversion"], "required": ["orderId"],
              "together": [["orderId", "currency"], ["x", "y"]], "values": {"currency": ["EUR", "USD"]}}}]
            """
        let expected = [
            "/event/plain", "/event/7?checksum=a%26b", "/event/rules?type=conversion&currency=EUR&orderId=1",
        ]
        #expect(try RequestMix.paths(ofPrograms: Array(json.utf8)) == expected)
        #expect(try RequestMix.paths(ofPrograms: Array(#"{"programs":\#(json)}"#.utf8)) == expected)
        #expect(throws: LoadError.self) { try RequestMix.paths(ofPrograms: Array("[{}]".utf8)) }
    }

    @Test(
        "too many ids, none, and shares above the whole are refused",
        arguments: [(0, 0.0, 0.0), (1, 0.6, 0.5), (1, -0.1, 0)]
    )
    func bounds(count: Int, unknown: Double, invalid: Double) {
        #expect(throws: LoadError.self) {
            try RequestMix(paths: Array(repeating: "/x", count: count), unknown: unknown, invalid: invalid)
        }
        #expect(throws: LoadError.self) {
            try RequestMix(paths: Array(repeating: "/x", count: RequestMix.mostPaths + 1))
        }
    }

    @Test(
        "a URL that is not http with a host and a port is refused",
        arguments: [
            "", "https://h", "h:80", "http://", "http://h:0", "http://h:65536", "http://h:x", "http://u@h",
            "http://h/?a",
        ]
    )
    func badURL(url: String) {
        #expect(throws: LoadError.self) { try LoadTarget(url: url) }
    }
}

@Suite("The search for the highest rate")
struct RateSearchTests {
    @Test("it ends at most 5 % below what the service holds", arguments: [150.0, 1_234, 19_000, 250_000, 999_999])
    func finds(limit: Double) {
        var search = RateSearch()
        var step = search.first
        var trials = 0
        while case .trial(let rate) = step, trials < 100 {
            trials += 1
            step = search.tried(held: rate <= limit)
        }
        guard case .finished(let highest?) = step else {
            Issue.record("found nothing")
            return
        }
        #expect(highest <= limit)
        #expect(highest >= limit / 1.05)
        #expect(trials <= 25)
    }

    @Test("one failure of a rate is tried again, so that a neighbour's noise does not decide")
    func noise() {
        var search = RateSearch(from: 1_000)
        let again = search.tried(held: false)
        let further = search.tried(held: true)
        #expect(again == .trial(rate: 1_000))
        #expect(further == .trial(rate: 2_000))
    }

    @Test("a service that holds nothing ends the search, one that holds everything too")
    func ends() {
        var hopeless = RateSearch(from: 100)
        _ = hopeless.tried(held: false)
        let nothing = hopeless.tried(held: false)
        #expect(nothing == .finished(highest: nil))
        var perfect = RateSearch(from: 1_000, ceiling: 1_500)
        let last = perfect.tried(held: true)
        let everything = perfect.tried(held: true)
        #expect(last == .trial(rate: 1_500))
        #expect(everything == .finished(highest: 1_500))
    }
}

@Suite("The figures of a run")
struct LoadReportTests {
    private struct Summary: Decodable {
        let sent, accepted, errors: Int
        let status: [String: Int]
        let seconds, rate, p50Ms, p99Ms, p999Ms: Double
    }

    @Test("the JSON has the fields that scripts rely on")
    func json() throws {
        var tally = LoadTally()
        tally.planned = 3
        tally.sent = 3
        tally.answer(status: 200, after: 1_500_000, tracks: true)
        tally.answer(status: 404, after: 2_500_000, tracks: true)
        tally.failed(.reset)
        let plan = LoadPlan(
            target: try LoadTarget(url: "http://h"),
            profile: LoadProfile(shape: .steady, rate: 3, duration: .seconds(1)),
            mix: try RequestMix(paths: ["/"])
        )
        let result = LoadResult(tally: tally, plan: plan, seconds: 2, cpuSeconds: 0.1)
        let summary = try JSONDecoder().decode(Summary.self, from: Data(result.json.utf8))
        #expect(summary.sent == 3)
        #expect(summary.accepted == 1)
        #expect(summary.errors == 1)
        #expect(summary.status == ["200": 1, "404": 1])
        #expect(summary.seconds == 2)
        #expect(summary.rate == 1)
        #expect(abs(summary.p50Ms - 1.5) < 0.01)
        #expect(abs(summary.p999Ms - 2.5) < 0.01)
        #expect(!result.json.contains("\n"))
        #expect(result.text.contains("404: 1"))
    }

    @Test("a generator that was late says so")
    func late() {
        var result = LoadResult()
        result.sent = 1_000
        result.late = 10
        #expect(!result.generatorWasLate)
        result.late = 11
        #expect(result.generatorWasLate)
        #expect(result.text.contains("the generator itself was late"))
    }

    @Test("numbers are written with their decimals and never in scientific notation")
    func numbers() {
        #expect(plain(0, 3) == "0.000")
        #expect(plain(1.0005, 3) == "1.001" || plain(1.0005, 3) == "1.000")
        #expect(plain(0.05, 2) == "0.05")
        #expect(plain(1_000_000, 1) == "1000000.0")
        #expect(plain(-1.5, 1) == "-1.5")
        #expect(plain(2.6, 0) == "3")
        #expect(plain(.infinity, 1) == "0")
    }

    @Test("the messageId is found wherever it stands in the body")
    func messageID() {
        func id(_ text: String) -> String? {
            Array(text.utf8).withUnsafeBytes { bytes in
                AcceptedRecord.messageID(in: bytes).map { String(decoding: $0, as: UTF8.self) }
            }
        }
        #expect(id(#"{"userAgent":"x","messageId":"abc","valid":true}"#) == "abc")
        #expect(id(#"{ "messageId" : "abc" }"#) == "abc")
        #expect(id(#"{"messageId":""}"#) == nil)
        #expect(id(#"{"messageId":"abc"#) == nil)
        #expect(id(#"{"messageId":7}"#) == nil)
        #expect(id("") == nil)
    }
}
