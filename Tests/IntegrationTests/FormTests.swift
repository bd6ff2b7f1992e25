import TestSupport
import Testing

extension Integration {
    /// Bytes on the wire: RFC 9112 and what attackers make of it.
    @Suite("Forms of the public port")
    struct FormTests {
        /// A request that must not be seen: if its answer came, what stood before it was read in two ways.
        static let smuggled = "GET /event/212313 HTTP/1.1\r\nHost: b\r\n\r\n"

        /// Each is answered with that status alone, and the connection is closed.
        static let refused: [(String, String, Int)] = [
            (
                "chunked and a length",
                "GET /event/212312 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
                400
            ),
            (
                "a length and chunked",
                "POST /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400
            ),
            (
                "chunked twice",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400
            ),
            (
                "chunked twice in one field",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400
            ),
            ("xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
            ("identity", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
            ("gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
            (
                "chunked with a vertical tab",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{0B}chunked\r\n\r\n0\r\n\r\n", 400
            ),
            ("empty transfer coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400),
            ("chunked on HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (
                "two lengths",
                "GET /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400
            ),
            ("two lengths in one field", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 5\r\n\r\n", 400),
            ("a signed length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
            ("a negative length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            ("a hexadecimal length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400),
            ("an empty length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
            ("a length with a space inside", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n", 400),
            (
                "an endless length",
                "GET /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400
            ),
            ("a body on GET", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
            (
                "a chunked body on GET",
                "GET /event/212312 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400
            ),
            ("a body on a health path", "GET /health/check HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
            ("a body on POST", "POST /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 405),
            (
                "a chunked body on POST",
                "POST /event/212312 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                405
            ),
            (
                "a body that is a request",
                "PUT /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: \(smuggled.utf8.count)\r\n\r\n", 405
            ),
            ("no Host", "GET /event/212312 HTTP/1.1\r\n\r\n", 400),
            ("two Hosts", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("two Hosts on HTTP/1.0", "GET /event/212312 HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("a Host with a slash", "GET /event/212312 HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
            ("a Host with a space", "GET /event/212312 HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("a space before the colon", "GET /event/212312 HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("a tab before the colon", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX\t: y\r\n\r\n", 400),
            ("a space in a name", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 400),
            ("no name", "GET /event/212312 HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", 400),
            ("no colon", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
            ("a folded line", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
            ("a line folded by a tab", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400),
            ("a first line that is folded", "GET /event/212312 HTTP/1.1\r\n Host: a\r\n\r\n", 400),
            ("a name outside of ASCII", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX\u{FC}: y\r\n\r\n", 400),
            ("a NUL in a value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
            ("a NUL in a name", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", 400),
            ("a NUL in the target", "GET /event/2\012312 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("a bell in a value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nUser-Agent: \u{07}\r\n\r\n", 400),
            ("a delete in a value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nUser-Agent: \u{7F}\r\n\r\n", 400),
            ("an escape in the target", "GET /event/\u{1B}12312 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("a bare line feed after the request line", "GET /event/212312 HTTP/1.1\nHost: a\r\n\r\n", 400),
            ("a bare line feed after a field", "GET /event/212312 HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
            ("a bare line feed at the end", "GET /event/212312 HTTP/1.1\r\nHost: a\r\n\n", 400),
            ("bare line feeds only", "GET /event/212312 HTTP/1.1\nHost: a\n\n", 400),
            ("a bare carriage return in a value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400),
            ("a bare carriage return in the request line", "GET /event/212312\rHTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("two carriage returns", "GET /event/212312 HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
            ("two spaces", "GET  /event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("two spaces before the version", "GET /event/212312  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("a space at the end of the line", "GET /event/212312 HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
            ("a tab for a space", "GET\t/event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("a space first", " GET /event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("a target without a slash", "GET event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("a fragment", "GET /event/212312#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("HTTP/0.9", "GET /event/212312\r\n\r\n", 400),
            ("a version in small letters", "GET /event/212312 http/1.1\r\nHost: a\r\n\r\n", 400),
            ("HTTP/1", "GET /event/212312 HTTP/1\r\nHost: a\r\n\r\n", 400),
            ("HTTP/1.11", "GET /event/212312 HTTP/1.11\r\nHost: a\r\n\r\n", 400),
            ("HTTP/11.1", "GET /event/212312 HTTP/11.1\r\nHost: a\r\n\r\n", 400),
            ("another protocol", "GET /event/212312 FTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("HTTP/2.0", "GET /event/212312 HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("HTTP/3.0", "GET /event/212312 HTTP/3.0\r\nHost: a\r\n\r\n", 505),
            ("HTTP/0.1", "GET /event/212312 HTTP/0.1\r\nHost: a\r\n\r\n", 505),
            ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            ("a method with a strange letter", "G@T /event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("TLS", "\u{16}\u{03}\u{01}\u{02}\0\u{01}", 400),
            ("noise", "\u{01}\u{02}\u{03}\u{04}\r\n\r\n", 400),
            (
                "userinfo in an absolute target without a host", "GET http:///event/212312 HTTP/1.1\r\nHost: a\r\n\r\n",
                400
            ),
        ]

        @Test("what could be read in two ways is refused, the connection closed, and nothing behind it is a request")
        func refused() async throws {
            try await Service.with { service async throws in
                for (name, bytes, status) in Self.refused {
                    let connection = try RawConnection(port: service.port)
                    connection.send(bytes + Self.smuggled)
                    let (responses, ending) = try connection.responses(quiet: .seconds(2))
                    #expect(responses.map(\.status) == [status], "\(name)")
                    #expect(ending == .closed, "\(name)")
                    #expect(responses.first?["Connection"]?.lowercased() == "close", "\(name)")
                    if let answer = responses.first, status == 400 {
                        #expect(answer.code == "bad_request", "\(name): \(answer.text)")
                    }
                }
                let ledger = try service.manage("/ledger").json
                #expect(ledger["accepted"] == .number(0))
            }
        }

        /// Every control byte, wherever it could stand; tab, CR and LF have their own cases above.
        static let controls: [(String, [UInt8])] = {
            let bytes = (0...0x1F).filter { ![0x09, 0x0A, 0x0D].contains($0) } + [0x7F]
            let places = [
                ("method", "GE", "T /event/212312 HTTP/1.1\r\nHost: a\r\n\r\n"),
                ("id", "GET /event/2123", "12 HTTP/1.1\r\nHost: a\r\n\r\n"),
                ("query", "GET /event/212312?a=", "b HTTP/1.1\r\nHost: a\r\n\r\n"),
                ("version", "GET /event/212312 HTTP/1.1", "\r\nHost: a\r\n\r\n"),
                ("host", "GET /event/212312 HTTP/1.1\r\nHost: a", "b\r\n\r\n"),
                ("name", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX", "Y: z\r\n\r\n"),
                ("value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nUser-Agent: x", "y\r\n\r\n"),
                ("end of a value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nUser-Agent: x", "\r\n\r\n"),
            ]
            return places.flatMap { name, before, after in
                bytes.map { ("\(name) with \($0)", Array(before.utf8) + [UInt8($0)] + Array(after.utf8)) }
            }
        }()

        @Test("no control byte passes, wherever it stands")
        func controls() async throws {
            try await Service.with { service async throws in
                for (name, bytes) in Self.controls {
                    let connection = try RawConnection(port: service.port)
                    connection.send(bytes + Array(Self.smuggled.utf8))
                    let (responses, ending) = try connection.responses(quiet: .seconds(2))
                    #expect(responses.map(\.status) == [400], "\(name)")
                    #expect(ending == .closed, "\(name)")
                }
            }
        }

        /// Each is answered 200 and leaves the connection as the second value says.
        static let served: [(String, String, Bool)] = [
            ("plain", "GET /event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("asked to close", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
            (
                "asked to close among others", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
                false
            ),
            ("HTTP/1.0", "GET /event/212312 HTTP/1.0\r\n\r\n", false),
            ("HTTP/1.0 that stays", "GET /event/212312 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.0 with a Host", "GET /event/212312 HTTP/1.0\r\nHost: a\r\n\r\n", false),
            ("absolute-form", "GET http://example.com/event/212312?type=click HTTP/1.1\r\nHost: other\r\n\r\n", true),
            ("absolute-form with a port", "GET HTTP://example.com:8080/event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("an empty line first", "\r\nGET /event/212312 HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("no space after the colon", "GET /event/212312 HTTP/1.1\r\nHost:a\r\n\r\n", true),
            ("spaces around a value", "GET /event/212312 HTTP/1.1\r\nHost: \t a \t \r\n\r\n", true),
            ("an empty value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", true),
            ("a Host with a port", "GET /event/212312 HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", true),
            ("a length of nothing", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", true),
            ("a tab in a value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nUser-Agent: a\tb\r\n\r\n", true),
            (
                "bytes above ASCII in a value", "GET /event/212312 HTTP/1.1\r\nHost: a\r\nUser-Agent: \u{FC}\r\n\r\n",
                true
            ),
        ]

        @Test("what is well-formed is served, and the connection goes on or ends as the request says")
        func served() async throws {
            try await Service.with { service async throws in
                for (name, bytes, stays) in Self.served {
                    let connection = try RawConnection(port: service.port)
                    connection.send(bytes)
                    #expect(try connection.response().status == 200, "\(name)")
                    if stays {
                        #expect(try connection.exchange("/health/check").status == 200, "\(name)")
                    } else {
                        #expect(connection.ending(within: .seconds(2)) == .closed, "\(name)")
                    }
                }
            }
        }

        @Test("invalid UTF-8 in the User-Agent is answered as valid JSON")
        func invalidUserAgent() async throws {
            try await Service.with { service async throws in
                let connection = try RawConnection(port: service.port)
                let start = Array("GET /event/212312 HTTP/1.1\r\nHost: a\r\nUser-Agent: a".utf8)
                connection.send(start + [0xFF, 0xC0, 0x80, 0xED, 0xA0, 0x80] + Array("z\r\n\r\n".utf8))
                let answer = try connection.response()
                #expect(answer.status == 200)
                let agent = try #require(try answer.json["userAgent"]?.text)
                #expect(agent.hasPrefix("a"))
                #expect(agent.hasSuffix("z"))
            }
        }

        @Test("pipelined requests in one write are answered in order", arguments: [1, 2, 16, 17, 100])
        func pipelined(count: Int) async throws {
            try await Service.with { service async throws in
                let connection = try RawConnection(port: service.port)
                let requests = (0..<count).map { number in
                    let target = number % 5 == 4 ? "/event/unknown" : "/event/21231\(2 + number % 3)"
                    return RawConnection.request(target, headers: ["User-Agent: n\(number)"])
                }
                connection.send(requests.joined())
                for number in 0..<count {
                    let answer = try connection.response()
                    if number % 5 == 4 {
                        #expect(answer.status == 404)
                    } else {
                        #expect(try answer.json["userAgent"] == .string("n\(number)"))
                        #expect(try answer.json["programId"] == .string("21231\(2 + number % 3)"))
                    }
                }
            }
        }

        @Test("a client that reads more slowly than it asks gets every answer whole and in its turn")
        func slowReader() async throws {
            try await Service.with { service async throws in
                let connection = try RawConnection(port: service.port)
                let padding = String(repeating: "x", count: 1_500)
                // Far more than the two systems hold for a connection.
                let count = 12_000
                let requests = (0..<count).map {
                    RawConnection.request("/event/212312", headers: ["User-Agent: n\($0)\(padding)"])
                }
                connection.sendMeanwhile(Array(requests.joined().utf8))
                for number in 0..<count {
                    let answer = try connection.response()
                    #expect(try answer.json["userAgent"] == .string("n\(number)\(padding)"))
                    // The server's side fills up again and again, and is emptied by pieces of any size.
                    if number % 40 == 0 { try await Task.sleep(for: .microseconds(number % 7 * 500)) }
                }
            }
        }

        @Test("requests that come byte by byte are answered in order")
        func byteByByte() async throws {
            try await Service.with { service async throws in
                let connection = try RawConnection(port: service.port)
                connection.sendByteByByte((0..<5).map { RawConnection.request("/event/212312?n=\($0)") }.joined())
                for _ in 0..<5 { #expect(try connection.response().status == 200) }
            }
        }

        @Test("a client that has sent everything and shut its side gets every answer")
        func halfClosed() async throws {
            try await Service.with { service async throws in
                let connection = try RawConnection(port: service.port)
                connection.send((0..<20).map { _ in RawConnection.request("/event/212312") }.joined())
                connection.halfClose()
                let (responses, ending) = try connection.responses(quiet: .seconds(5))
                #expect(responses.map(\.status) == Array(repeating: 200, count: 20))
                #expect(ending == .closed)
            }
        }

        @Test("a fault in the middle of a pipeline is answered in its turn, and nothing after it")
        func faultInPipeline() async throws {
            try await Service.with { service async throws in
                let connection = try RawConnection(port: service.port)
                let good = RawConnection.request("/event/212312")
                connection.send(good + good + "GET /event/212312 HTTP/1.1\r\n\r\n" + good)
                let (responses, ending) = try connection.responses(quiet: .seconds(5))
                #expect(responses.map(\.status) == [200, 200, 400])
                #expect(ending == .closed)
            }
        }

        @Test(
            "requests with bytes changed, lost and doubled at random get well-formed answers or a close, and the books balance"
        )
        func mutated() async throws {
            try await Service.with { service async throws in
                var dice = Dice(state: 20_261_121)
                let headers = ["User-Agent: x", "Referer: http://a/", "Connection: keep-alive", "Content-Length: 0"]
                let whole = Array(
                    (RawConnection.request("/event/212312?type=click&a=%20b&checksum=", headers: headers)
                        + RawConnection.request("/health/check")).utf8
                )
                for round in 0..<1_500 {
                    var bytes = whole
                    for _ in 0..<Int.random(in: 1...6, using: &dice) {
                        let place = Int.random(in: 0..<bytes.count, using: &dice)
                        switch Int.random(in: 0..<4, using: &dice) {
                        case 0: bytes[place] = UInt8.random(in: 0...255, using: &dice)
                        case 1: bytes.remove(at: place)
                        case 2: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &dice)], at: place)
                        default: bytes = Array(bytes[..<place]) + bytes[..<min(place + 9, bytes.count)]
                        }
                        if bytes.isEmpty { bytes = [0] }
                    }
                    let connection = try RawConnection(port: service.port)
                    connection.send(bytes)
                    connection.halfClose()
                    let (responses, ending) = try connection.responses(quiet: .seconds(5))
                    #expect(ending == .closed, "round \(round): \(bytes)")
                    #expect(responses.count <= 3, "round \(round): \(bytes)")
                    #expect(responses.allSatisfy { (200...505).contains($0.status) && $0.status != 500 })
                }
                #expect(try Ledger(service).balances)
                #expect(service.process.isRunning)
            }
        }

        @Test("a client that resets its connection in the middle of a request harms nobody else")
        func resets() async throws {
            try await Service.with { service async throws in
                for _ in 0..<50 {
                    let connection = try RawConnection(port: service.port)
                    connection.resetOnClose()
                    connection.send(RawConnection.request("/event/212312") + "GET /event/21")
                }
                #expect(try service.get("/event/212312").status == 200)
                #expect(service.process.isRunning)
            }
        }
    }
}

/// The same sequence in every run, so that a failure can be repeated (SplitMix64).
struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
