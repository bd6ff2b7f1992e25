import TestSupport
import Testing

extension Integration {
    /// What the public port takes, how long it waits, and what happens at each bound.
    @Suite("Limits of the public port")
    struct LimitTests {
        private func answer(_ service: Service, _ bytes: String) throws -> ([Int], RawConnection.Ending) {
            let connection = try RawConnection(port: service.port)
            connection.send(bytes)
            let (responses, ending) = try connection.responses(quiet: .seconds(1))
            return (responses.map(\.status), ending)
        }

        @Test("a target of 8 KiB is served, one byte more is 414")
        func target() async throws {
            try await Service.with { service async throws in
                let start = "/event/212312?a="
                let longest = start + String(repeating: "x", count: 8_192 - start.utf8.count)
                #expect(try service.get(longest).status == 200)
                #expect(try answer(service, RawConnection.request(longest + "x")) == ([414], .closed))
                #expect(try answer(service, "GET /" + String(repeating: "x", count: 60_000)) == ([414], .closed))
            }
        }

        @Test("64 fields are served, 65 are 431")
        func fields() async throws {
            try await Service.with { service async throws in
                func request(_ fields: Int) -> String {
                    // Host is one of them.
                    RawConnection.request("/event/212312", headers: (1..<fields).map { "X-\($0): y" })
                }
                #expect(try answer(service, request(64)).0 == [200])
                #expect(try answer(service, request(65)) == ([431], .closed))
            }
        }

        @Test("4 KiB of cookies are served, a head over 16 KiB is 431, whether it ends or not")
        func head() async throws {
            try await Service.with { service async throws in
                func request(_ length: Int) -> String {
                    let bare = RawConnection.request("/event/212312", headers: ["Cookie: "])
                    let padding = String(repeating: "c", count: length - bare.utf8.count)
                    return RawConnection.request("/event/212312", headers: ["Cookie: " + padding])
                }
                #expect(try answer(service, request(4_400)).0 == [200])
                #expect(try answer(service, request(16_384)).0 == [200])
                #expect(try answer(service, request(16_385)) == ([431], .closed))
                #expect(try answer(service, request(40_000)) == ([431], .closed))
                let endless = "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: 40_000)
                #expect(try answer(service, endless) == ([431], .closed))
            }
        }

        @Test("a head that is not complete in time ends its connection, however slowly and steadily it comes")
        func slowHead() async throws {
            try await Service.with(Service.Setup(["--head-timeout", "300ms", "--idle-timeout", "20s"])) {
                service async throws in
                let connection = try RawConnection(port: service.port)
                let began = ContinuousClock.now
                connection.send("GET /event/212312 HTTP/1.1\r\nHost: a\r\n")
                var isOpen = true
                while isOpen, ContinuousClock.now - began < .seconds(5) {
                    connection.send("X")
                    isOpen = connection.ending(within: .milliseconds(20)) == .open
                }
                #expect(!isOpen)
                #expect(ContinuousClock.now - began < .seconds(3))
                #expect(ContinuousClock.now - began > .milliseconds(250))
                #expect(try service.get("/event/212312").status == 200)
            }
        }

        @Test("a silent connection is closed, one in use is not")
        func idle() async throws {
            try await Service.with(Service.Setup(["--idle-timeout", "500ms"])) { service async throws in
                let silent = try RawConnection(port: service.port)
                let busy = try RawConnection(port: service.port)
                let began = ContinuousClock.now
                while ContinuousClock.now - began < .milliseconds(1_500) {
                    #expect(try busy.exchange("/health/check").status == 200)
                    _ = busy.ending(within: .milliseconds(50))
                }
                #expect(silent.ending(within: .milliseconds(10)) == .closed)
            }
        }

        @Test("a client that does not read its answers is hung up on, and its neighbours do not notice")
        func unread() async throws {
            try await Service.with(Service.Setup(["--write-timeout", "2s"])) { service async throws in
                let greedy = try RawConnection(port: service.port, timeout: .milliseconds(300))
                let requests = String(repeating: RawConnection.request("/event/212312"), count: 1_000)
                // Until neither side takes any more: some megabytes in the buffers of the two systems.
                var sent = 0
                while sent < 500, greedy.send(requests) { sent += 1 }
                #expect(sent < 500)
                #expect(try Metrics(service).value("adtrack_connections") == 1)
                #expect(try service.get("/event/212312").status == 200)
                let isGone = try await eventually(within: .seconds(8)) {
                    try Metrics(service).value("adtrack_connections") == 0
                }
                #expect(isGone)
            }
        }

        @Test(
            "at the bound of connections the listener pauses; those inside are served, the next comes in when one goes"
        )
        func connections() async throws {
            try await Service.with(Service.Setup(["--max-connections", "5", "--event-loops", "1"])) {
                service async throws in
                var inside = try (0..<5).map { _ in try RawConnection(port: service.port) }
                for connection in inside { #expect(try connection.exchange("/event/212312").status == 200) }
                let outside = try RawConnection(port: service.port)
                outside.send(RawConnection.request("/event/212312"))
                #expect(outside.ending(within: .milliseconds(300)) == .open)
                for connection in inside { #expect(try connection.exchange("/event/212312").status == 200) }
                #expect(try service.manage("/ledger").status == 200)
                inside.removeLast()
                #expect(try outside.response().status == 200)
            }
        }

        @Test(
            "at the limit of descriptors connections are served, management answers, and accepting resumes within 2 s"
        )
        func descriptors() async throws {
            var setup = Service.Setup(["--event-loops", "1"])
            setup.descriptors = 96
            try await Service.with(setup) { service async throws in
                var clients: [RawConnection] = []
                for _ in 0..<150 { clients.append(try RawConnection(port: service.port)) }
                #expect(try clients[0].exchange("/event/212312").status == 200)
                #expect(try service.manage("/ledger").status == 200)
                #expect(try clients[1].exchange("/event/212312").status == 200)
                clients.removeAll()
                let began = ContinuousClock.now
                #expect(try service.get("/event/212312").status == 200)
                #expect(ContinuousClock.now - began < .seconds(2))
                #expect(service.process.isRunning)
            }
        }
    }
}
