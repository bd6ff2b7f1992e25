import Glibc
import NIOCore
import ProgramCache
import Synchronization
import TestSupport
import Testing

@testable import EventJournal
@testable import HTTPIngress

/// What one thread tells another.
private final class Flag: Sendable {
    private let state = Atomic(false)
    var isUp: Bool { self.state.load(ordering: .acquiring) }
    func raise() { self.state.store(true, ordering: .releasing) }
}

@Suite("The HTTP verticle", .serialized)
struct HTTPVerticleTests {
    /// A target and the status and code of its answer.
    private static let mix: [(target: String, status: Int, code: String?)] = [
        ("/event/p1?campaign=a", 200, nil), ("/event/none1", 404, "program_not_found"),
        ("/event/poff", 410, "program_inactive"),
        ("/event/p2", 200, nil), ("/event/p1?a=%", 400, "bad_request"), ("/health/check", 200, nil),
        ("/event/now3", 200, nil), ("/nowhere", 404, "not_found"), ("/event/p1?type=view", 422, "type_not_allowed"),
        ("/later", 200, nil), ("/event/odd", 503, "unavailable"), ("/event/p4?checksum=x", 403, "checksum_mismatch"),
        ("/event/away", 503, "unavailable"), ("/event/b%61d%20", 400, "bad_request"), ("/event/%701", 200, nil),
        ("/event/", 404, "not_found"), ("/event/p1/", 404, "not_found"),
    ]

    private func check(_ response: RawResponse, _ index: Int) throws {
        let expected = Self.mix[index % Self.mix.count]
        #expect(response.status == expected.status, "\(expected.target)")
        #expect(response.code == expected.code, "\(expected.target)")
        #expect((response["Retry-After"] != nil) == (expected.status == 503))
        guard expected.status == 200, expected.target.hasPrefix("/event/") else { return }
        #expect(try response.json["userAgent"]?.text == "n-\(index)")
    }

    @Test("pipelined requests are answered in their order, whatever becomes of each")
    func pipelining() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            let count = Self.mix.count * 30
            var bytes = ""
            for index in 0..<count {
                bytes += RawConnection.request(
                    Self.mix[index % Self.mix.count].target,
                    headers: ["User-Agent: n-\(index)"]
                )
            }
            // All at once: the verticle takes as much as it may, and the answers are read only afterwards.
            #expect(connection.send(bytes))
            for index in 0..<count { try self.check(try connection.response(), index) }
            #expect(await tracked.balances)
            let books = await tracked.verticle.snapshot().books
            let tracking = Self.mix.filter { $0.target.hasPrefix("/event/") && $0.code != "not_found" }
            #expect(books.received == UInt64(tracking.count * 30))
        }
    }

    @Test("bytes that come one by one make the same requests")
    func byteByByte() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            for index in 0..<Self.mix.count {
                let request = RawConnection.request(Self.mix[index].target, headers: ["User-Agent: n-\(index)"])
                #expect(connection.sendByteByByte(request))
                try self.check(try connection.response(), index)
            }
        }
    }

    @Test("many who miss the same program make one read, and all are answered")
    func singleFlight() async throws {
        try await withVerticle { tracked in
            let connections = try (0..<40).map { _ in try tracked.connect() }
            for connection in connections { #expect(connection.send(RawConnection.request("/event/slow"))) }
            while await tracked.verticle.snapshot().lookups.misses < 40 { await Task.yield() }
            #expect(tracked.source.reads.load(ordering: .relaxed) == 1)
            tracked.source.answer()
            for connection in connections { #expect(try connection.response().status == 200) }
        }
    }

    @Test("a client that has finished sending gets all its answers, then the end")
    func halfClose() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            for target in ["/event/p1", "/event/none", "/event/slow", "/event/p2"] {
                #expect(connection.send(RawConnection.request(target)))
            }
            connection.halfClose()
            while await tracked.verticle.snapshot().lookups.misses < 3 { await Task.yield() }
            tracked.source.answer()
            let (responses, ending) = try connection.responses(quiet: .seconds(5))
            #expect(responses.map(\.status) == [200, 404, 200, 200])
            #expect(ending == .closed)
        }
    }

    @Test("a client that has finished sending and has read nothing yet gets all its answers, too")
    func halfCloseUnread() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            // Their answers are more than the system takes for a client that doesn't read.
            let count = 10_000
            let request = RawConnection.request("/event/p1")
            #expect(connection.send(String(repeating: request, count: count)))
            connection.halfClose()
            while await tracked.verticle.snapshot().books.received < 100 { await Task.yield() }
            let (responses, ending) = try connection.responses(quiet: .seconds(5))
            #expect(responses.count(where: { $0.status == 200 }) == count)
            #expect(ending == .closed)
        }
    }

    @Test("a request that is seen together with its client's end is answered, and the connection ends")
    func endSeenAtOnce() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            #expect(connection.send(RawConnection.request("/event/p1")))
            #expect(try connection.response().status == 200)
            // The loop is held up until both are there.
            let (isHeld, isFree) = (Flag(), Flag())
            tracked.verticle.loop.execute {
                isHeld.raise()
                while !isFree.isUp { sched_yield() }
            }
            while !isHeld.isUp { await Task.yield() }
            #expect(connection.send(RawConnection.request("/event/p2")))
            connection.halfClose()
            isFree.raise()
            let (responses, ending) = try connection.responses(quiet: .seconds(5))
            #expect(responses.map(\.status) == [200])
            #expect(ending == .closed)
        }
    }

    @Test("what follows a last request is never read as one")
    func lastRequest() async throws {
        let after = RawConnection.request("/event/p2")
        let lasts = [
            RawConnection.request("/event/p1", headers: ["Connection: close"]), "GET /event/p1 HTTP/1.0\r\n\r\n",
            RawConnection.request("/event/p1", headers: ["Content-Length: 3"]),
            RawConnection.request("/event/p1", method: "POST", headers: ["Transfer-Encoding: chunked"]),
            "GET /event/p1 HTTP/1.1\r\n\r\n", "GET /event/p1 HTTP/3.0\r\n\r\n", "\u{1}",
            RawConnection.request("/later", headers: ["Connection: close"]), "GET /later HTTP/1.0\r\n\r\n",
        ]
        try await withVerticle { tracked in
            for (last, status) in zip(lasts, [200, 200, 400, 405, 400, 505, 400, 200, 200]) {
                let connection = try tracked.connect()
                #expect(connection.send(RawConnection.request("/event/p1") + last + after))
                let (responses, ending) = try connection.responses(quiet: .seconds(5))
                #expect(responses.map(\.status) == [200, status])
                #expect(responses.last?["Connection"] == "close")
                #expect(ending == .closed)
            }
            #expect(await tracked.balances)
        }
    }

    @Test("HTTP/1.0 keeps the connection only when both say so")
    func http10() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            for _ in 0..<3 {
                #expect(connection.send("GET /event/p1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
                let response = try connection.response()
                #expect(response.status == 200)
                #expect(response["Connection"] == "keep-alive")
            }
        }
    }

    @Test("HEAD has no body and only the health paths take it; other methods are told what is allowed")
    func methods() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            let head = try connection.exchange("/health/check", method: "HEAD")
            #expect(head.status == 200 && head["Content-Length"] == "2")
            let tracking = try connection.exchange("/event/p1", method: "HEAD")
            #expect(tracking.status == 405 && tracking["Allow"] == "GET")
            let post = try connection.exchange("/health/check", method: "POST")
            #expect(post.status == 405 && post["Allow"] == "GET, HEAD")
            #expect(try connection.exchange("/event/p1").status == 200)
        }
    }

    @Test(
        "answers whose events could not be recorded become refusals in their places",
        arguments: JournalRefusal.allCases
    )
    func failingJournal(refusal: JournalRefusal) async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            // Afterwards all programs are in memory.
            for target in ["/event/p1", "/event/none1"] { _ = try connection.exchange(target) }
            let targets = ["/event/none1", "/event/p1", "/event/p1?a=%", "/event/p1", "/event/p1", "/health/check"]
            let bytes = targets.map { RawConnection.request($0) }.joined()
            let verticle = tracked.verticle
            let held = try await verticle.loop.submit {
                verticle.assumeIsolated { verticle -> Int in
                    guard let client = verticle.connections.compactMap({ $0 }).first else { return 0 }
                    client.inbound = ByteBuffer(string: bytes)
                    verticle.proceed(client)
                    let held = client.held.count
                    // Before the tick ends, and with it the batch can be written.
                    if let batch = client.held.last?.batch {
                        verticle.settled(BatchID(number: batch), .failed(refusal))
                    }
                    return held
                }
            }.get()
            #expect(held == 3)
            let failed = refusal == .full ? "journal_full" : "unavailable"
            let codes = try targets.map { _ in try connection.response() }.map(\.code)
            #expect(codes == ["program_not_found", failed, "bad_request", failed, failed, nil])
            #expect(await tracked.balances)
            let books = await tracked.verticle.snapshot().books
            #expect(books.unavailable == 3 && books.accepted == 1)
            // And the connection goes on.
            #expect(try connection.exchange("/event/p1").status == 200)
        }
    }

    @Test("answers that have left take no memory, also where one is always held behind them")
    func memoryOfAnswers() async throws {
        try await withVerticle { tracked in
            let connection = try tracked.connect()
            _ = try connection.exchange("/event/p1")
            let verticle = tracked.verticle
            let body = String(repeating: "x", count: 4_000)
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
            let rounds = 300
            let capacity = try await verticle.loop.submit {
                verticle.assumeIsolated { verticle -> Int in
                    guard let client = verticle.connections.compactMap({ $0 }).first else { return .max }
                    for batch in 1...UInt64(rounds) {
                        let start = client.out.writerIndex
                        client.out.writeString(answer)
                        let end = client.out.writerIndex
                        client.held.append(
                            .init(start: start, end: end, batch: batch, arrived: 0, connection: .stays)
                        )
                        guard client.held.count > 1 else { continue }
                        client.held.removeFirst()
                        client.flush(upTo: client.held[0].start)
                    }
                    client.held = []
                    client.flush()
                    return client.out.capacity
                }
            }.get()
            #expect(capacity < 200_000)
            for _ in 0..<rounds { #expect(try connection.response().body.count == body.utf8.count) }
        }
    }

    @Test("a journal that is full refuses, in order and with the books balanced")
    func fullJournal() async throws {
        let small: (inout JournalConfiguration) -> Void = { $0.maxBytes = 256 << 10 }
        try await withVerticle(small) { tracked in
            let connection = try tracked.connect()
            let agent = String(repeating: "x", count: 7_000)
            let requests = 60
            for index in 0..<requests {
                #expect(connection.send(RawConnection.request("/event/p1", headers: ["User-Agent: \(index)-\(agent)"])))
            }
            var full = 0
            for index in 0..<requests {
                let response = try connection.response()
                if response.status == 200 {
                    #expect(try response.json["userAgent"]?.text == "\(index)-\(agent)")
                } else {
                    #expect(response.code == "journal_full")
                    full += 1
                }
            }
            #expect(full > 20 && full < requests)
            #expect(await tracked.balances)
        }
    }

    @Test("a stop answers what has come and closes politely")
    func stop() async throws {
        try await withVerticle { tracked in
            let busy = try tracked.connect()
            let idle = try tracked.connect()
            #expect(try idle.exchange("/event/p1").status == 200)
            #expect(busy.send(RawConnection.request("/event/slow")))
            while await tracked.verticle.snapshot().lookups.misses < 2 { await Task.yield() }
            async let stopped: Void = tracked.verticle.stop()
            while !(await tracked.verticle.isDraining) { await Task.yield() }
            tracked.source.answer()
            let (responses, ending) = try busy.responses(quiet: .seconds(5))
            #expect(responses.map(\.status) == [200])
            #expect(responses.first?["Connection"] == "close")
            #expect(ending == .closed)
            #expect(idle.ending(within: .seconds(5)) == .closed)
            await stopped
        }
    }

    @Test("deadlines end what is slow: a head that does not end, a silent connection")
    func deadlines() async throws {
        var ingress = IngressConfiguration()
        ingress.headTimeout = 0.1
        ingress.idleTimeout = 0.3
        try await withVerticle(ingress: ingress) { tracked in
            let slow = try tracked.connect()
            #expect(slow.send("GET /event/p1 HTTP/1.1\r\nHo"))
            #expect(slow.ending(within: .seconds(5)) != .open)
            let silent = try tracked.connect()
            #expect(silent.ending(within: .seconds(5)) != .open)
            // A program that takes its time is no fault of the client.
            let waiting = try tracked.connect()
            #expect(waiting.send(RawConnection.request("/event/slow")))
            #expect(waiting.ending(within: .milliseconds(700)) == .open)
            tracked.source.answer()
        }
    }
}
