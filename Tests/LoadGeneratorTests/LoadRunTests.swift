import FoundationEssentials
import Testing

@testable import LoadGenerator

@Suite("A run of the load generator", .serialized)
struct LoadRunTests {
    private func plan(
        _ service: StubService,
        rate: Double,
        milliseconds: Int,
        change: (inout LoadPlan) -> Void = { _ in }
    ) throws -> LoadPlan {
        var plan = LoadPlan(
            target: try LoadTarget(url: "http://127.0.0.1:\(service.port)"),
            profile: LoadProfile(shape: .steady, rate: rate, duration: .milliseconds(milliseconds)),
            mix: try RequestMix(paths: RequestMix.sample)
        )
        plan.connections = 10
        change(&plan)
        return plan
    }

    @Test("every request that was due is sent once and counted once")
    func countsAgree() async throws {
        try await StubService.withService(StubService.always(.answer(StubService.accepted()))) { service in
            let result = try await LoadGenerator().run(plan(service, rate: 1_000, milliseconds: 500))
            #expect(result.planned == 500)
            #expect(result.sent == 500)
            #expect(result.accepted == 500)
            #expect(result.status == [200: 500])
            #expect(result.errors == 0)
            #expect(service.requestCount == 500)
            #expect(result.seconds >= 0.5)
        }
    }

    @Test("a stall of the service is in the latency of every request that was due during it, not of one alone")
    func noCoordinatedOmission() async throws {
        // One connection, and the 100th answer takes 300 ms: at 1000/s about 300 later requests wait behind it.
        let react: @Sendable (Int) -> StubService.Reaction = {
            $0 == 100 ? .answerLater(StubService.accepted(), milliseconds: 300) : .answer(StubService.accepted())
        }
        try await StubService.withService(react) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 1_000, milliseconds: 1_000) { $0.connections = 1 }
            )
            #expect(result.answered == 1_000)
            #expect(result.p90Ms > 100)
            #expect(result.waited > 200)
        }
    }

    @Test("a connection that breaks costs its unanswered requests as errors, and is opened again")
    func reconnects() async throws {
        let react: @Sendable (Int) -> StubService.Reaction = {
            $0 % 50 == 49 ? .hangUp : .answer(StubService.accepted())
        }
        try await StubService.withService(react) { service in
            let result = try await LoadGenerator().run(plan(service, rate: 1_000, milliseconds: 500))
            #expect(result.errors == 10)
            #expect(result.answered == 490)
            #expect(result.planned == result.answered + result.errors)
            #expect(result.reconnects >= 9)
        }
    }

    @Test("an answer that never comes is a timeout")
    func timeout() async throws {
        let react: @Sendable (Int) -> StubService.Reaction = {
            $0 == 5 ? .silence : .answer(StubService.accepted())
        }
        try await StubService.withService(react) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 100, milliseconds: 200) { $0.timeout = .milliseconds(100) }
            )
            #expect(result.failures == [.timeout: 1])
            #expect(result.answered == 19)
        }
    }

    @Test("requests that found no connection before the end are errors too: no request is forgotten")
    func unsent() async throws {
        try await StubService.withService(StubService.always(.silence)) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 1_000, milliseconds: 200) {
                    $0.connections = 1
                    $0.timeout = .milliseconds(300)
                }
            )
            #expect(result.planned == 200)
            #expect(result.answered == 0)
            #expect(result.errors == 200)
            #expect((result.failures[.unsent] ?? 0) > 150)
        }
    }

    @Test("an answer that is no HTTP is counted as malformed")
    func malformed() async throws {
        try await StubService.withService(StubService.always(.answer("SSH-2.0-OpenSSH\r\n\r\n"))) { service in
            let result = try await LoadGenerator().run(plan(service, rate: 100, milliseconds: 100))
            #expect(result.answered == 0)
            #expect((result.failures[.malformed] ?? 0) > 0)
            #expect(result.planned == result.errors)
        }
    }

    @Test("after Connection: close the next request goes over a new connection, without an error")
    func closingAnswers() async throws {
        let answer = StubService.response(status: "400 Bad Request", body: "{}", headers: "Connection: close\r\n")
        try await StubService.withService(StubService.always(.answer(answer))) { service in
            let result = try await LoadGenerator().run(plan(service, rate: 200, milliseconds: 500))
            #expect(result.status == [400: 100])
            #expect(result.errors == 0)
            #expect(result.reconnects >= 90)
        }
    }

    @Test("an answer without a length ends with its connection, which may be seen with its last byte")
    func endingAnswers() async throws {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nlater"
        try await StubService.withService(StubService.always(.lastAnswer(answer))) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 200, milliseconds: 500) { $0.timeout = .seconds(2) }
            )
            #expect(result.status == [503: 100])
            #expect(result.errors == 0)
        }
    }

    @Test("an answer may be longer than what one read takes")
    func longAnswers() async throws {
        let answer = StubService.response(status: "500 Oops", body: String(repeating: "x", count: 200_000))
        try await StubService.withService(StubService.always(.answer(answer))) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 100, milliseconds: 500) { $0.timeout = .seconds(2) }
            )
            #expect(result.status == [500: 50])
            #expect(result.errors == 0)
        }
    }

    @Test("several requests wait on one connection when pipelining is allowed")
    func pipelining() async throws {
        let react: @Sendable (Int) -> StubService.Reaction = { _ in
            .answerLater(StubService.accepted(), milliseconds: 50)
        }
        try await StubService.withService(react) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 500, milliseconds: 400) {
                    $0.connections = 2
                    $0.pipeline = 64
                }
            )
            #expect(result.answered == 200)
            #expect(service.connectionCount == 2)
            // 25 requests a second and connection is all that two would allow without it.
            #expect(result.waited == 0)
        }
    }

    @Test("the record holds the id of every accepted answer, also of those answered just before the service vanished")
    func record() async throws {
        let path = "/tmp/adtrack-record-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let react: @Sendable (Int) -> StubService.Reaction = {
            $0 < 300 ? .answer(StubService.accepted(id: "id-\($0)")) : .hangUp
        }
        try await StubService.withService(react) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 1_000, milliseconds: 500) { $0.recordPath = path }
            )
            #expect(result.accepted == 300)
        }
        let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        let ids = text.split(separator: "\n").map(String.init)
        #expect(ids.count == 300)
        #expect(Set(ids) == Set((0..<300).map { "id-\($0)" }))
    }

    @Test("what is due while the service refuses connections is an error at once, and goes through when it is back")
    func vanished() async throws {
        let port = try await Self.unusedPort()
        var plan = LoadPlan(
            target: try LoadTarget(url: "http://127.0.0.1:\(port)"),
            profile: LoadProfile(shape: .steady, rate: 200, duration: .seconds(30)),
            mix: try RequestMix(paths: RequestMix.sample)
        )
        plan.connections = 2
        let (seconds, continuation) = AsyncStream<LoadProgress>.makeStream()
        let generator = LoadGenerator { continuation.yield($0) }
        var progress = seconds.makeAsyncIterator()
        var task: Task<LoadResult, any Error>?
        try await StubService.withService(StubService.always(.answer(StubService.accepted())), port: port) { [plan] _ in
            task = Task { try await generator.run(plan) }
            while let second = await progress.next(), second.answered < 100 {}
        }
        while let second = await progress.next(), (second.failures[.notConnected] ?? 0) < 100 {}
        try await StubService.withService(StubService.always(.answer(StubService.accepted())), port: port) { _ in
            while let second = await progress.next(), second.answered < 190 {}
        }
        task?.cancel()
        let result = try #require(try await task?.value)
        #expect(result.planned == result.answered + result.errors)
    }

    @Test("where nobody listens the run ends with one sentence")
    func refused() async throws {
        let port = try await Self.unusedPort()
        let plan = LoadPlan(
            target: try LoadTarget(url: "http://127.0.0.1:\(port)"),
            profile: LoadProfile(shape: .steady, rate: 10, duration: .seconds(1)),
            mix: try RequestMix(paths: RequestMix.sample)
        )
        let error = await #expect(throws: LoadError.self) { _ = try await LoadGenerator().run(plan) }
        #expect(error?.description.contains("Connection refused") == true)
    }

    @Test("a cancelled run ends soon, with the figures so far")
    func cancelled() async throws {
        try await StubService.withService(StubService.always(.answer(StubService.accepted()))) { service in
            let (seconds, continuation) = AsyncStream<Int>.makeStream()
            let generator = LoadGenerator { continuation.yield($0.second) }
            let plan = try plan(service, rate: 100, milliseconds: 60_000)
            let task = Task { try await generator.run(plan) }
            for await _ in seconds { break }
            task.cancel()
            let result = try await task.value
            #expect(result.seconds < 10)
            #expect(result.answered == result.planned)
            #expect(result.answered >= 90)
        }
    }

    @Test("a refusal is an answer and no accepted event")
    func refusals() async throws {
        let mix = try RequestMix(paths: RequestMix.sample, unknown: 1)
        let answer = StubService.response(status: "404 Not Found", body: "{}")
        try await StubService.withService(StubService.always(.answer(answer))) { service in
            let result = try await LoadGenerator().run(
                plan(service, rate: 500, milliseconds: 200) { $0.mix = mix }
            )
            #expect(result.accepted == 0)
            #expect(result.status == [404: 100])
        }
    }

    /// A port that was free a moment ago.
    private static func unusedPort() async throws -> Int {
        var port = 0
        try await StubService.withService(StubService.always(.silence)) { port = $0.port }
        return port
    }
}
