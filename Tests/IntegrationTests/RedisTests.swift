import Foundation
import TestSupport
import Testing

extension Integration {
    /// Core data from a real redis-server, and from one that is away, slow or wrong.
    @Suite("With Redis")
    struct RedisTests {
        private func withRedis(
            _ arguments: [String] = [],
            isolation: isolated (any Actor)? = #isolation,
            _ body: (RedisServer, Service) async throws -> Void
        ) async throws {
            try await RedisServer.with { redis async throws in
                let setup = Service.Setup(["--redis", redis.url, "--event-loops", "1"] + arguments)
                try await Service.with(setup) { service async throws in
                    let isReady = try await eventually { try service.get("/health/ready").status == 200 }
                    #expect(isReady)
                    try await body(redis, service)
                }
            }
        }

        private func put(
            _ redis: RedisServer,
            _ id: String,
            _ fields: [String] = [],
            prefix: String = "program:"
        ) throws {
            try redis.cli(
                ["HSET", prefix + id, "programId", id, "programName", "Name of \(id)", "valid", "true"] + fields
            )
        }

        /// How often the service has read a program so far.
        private func reads(_ redis: RedisServer) throws -> Int {
            let line = try redis.cli("INFO", "commandstats").split(whereSeparator: \.isNewline)
                .first { $0.hasPrefix("cmdstat_hgetall:") }
            let calls = line?.split(separator: "=").dropFirst().first?.prefix { $0.isNumber }
            return calls.flatMap { Int($0) } ?? 0
        }

        @Test("600 requests for 200 programs are exactly 200 reads")
        func reads() async throws {
            try await withRedis { redis, service async throws in
                for number in 0..<200 { try put(redis, "p\(number)", ["customerId", "\(number)"]) }
                let before = try reads(redis)
                let connection = try RawConnection(port: service.port)
                for round in 0..<3 {
                    connection.send((0..<200).map { RawConnection.request("/event/p\($0)?round=\(round)") }.joined())
                    for number in 0..<200 {
                        let answer = try connection.response()
                        #expect(try answer.json["customerId"] == .number(Double(number)))
                    }
                }
                #expect(try reads(redis) - before == 200)
            }
        }

        @Test("10,000 requests for one id that is not in memory are one read")
        func singleFlight() async throws {
            try await withRedis(["--redis-timeout", "20s"]) { redis, service async throws in
                try put(redis, "hot")
                let before = try reads(redis)
                redis.pause()
                let clients = try (0..<100).map { _ in try RawConnection(port: service.port, timeout: .seconds(30)) }
                let requests = String(repeating: RawConnection.request("/event/hot"), count: 100)
                for client in clients { client.send(requests) }
                redis.resume()
                for client in clients {
                    for _ in 0..<100 { #expect(try client.response().status == 200) }
                }
                #expect(try reads(redis) - before == 1)
            }
        }

        @Test("an unknown id is read at most once in its time, and appears when it is put")
        func negative() async throws {
            try await withRedis(["--negative-ttl", "1s"]) { redis, service async throws in
                let before = try reads(redis)
                for _ in 0..<50 { #expect(try service.get("/event/later").status == 404) }
                #expect(try reads(redis) - before <= 2)
                try put(redis, "later")
                #expect(try await eventually(within: .seconds(3)) { try service.get("/event/later").status == 200 })
            }
        }

        @Test("without Redis at the start it starts, answers 503 and never 404, and is whole within 2 s of its coming")
        func absent() async throws {
            let redis = try RedisServer()
            defer { redis.remove() }
            try await Service.with(Service.Setup(["--redis", redis.url])) { service async throws in
                #expect(try service.get("/health/check").status == 200)
                for _ in 0..<20 {
                    let answer = try service.get("/event/x")
                    #expect(answer.status == 503)
                    #expect(answer.code == "unavailable")
                    #expect(answer["Retry-After"].flatMap(Int.init) != nil)
                }
                // What is malformed needs no core data.
                #expect(try service.get("/event/not!valid").status == 400)
                try redis.start()
                try put(redis, "x")
                let isWhole = try await eventually(within: .seconds(2)) { try service.get("/event/x").status == 200 }
                #expect(isWhole)
                #expect(try service.get("/event/nobody").status == 404)
            }
        }

        @Test("with Redis gone the known ids are served beyond their time, others are 503 at once, none 404")
        func gone() async throws {
            try await withRedis(["--cache-ttl", "300ms", "--negative-ttl", "100ms"]) { redis, service async throws in
                for number in 0..<20 { try put(redis, "hot\(number)") }
                for number in 0..<20 { #expect(try service.get("/event/hot\(number)").status == 200) }
                #expect(try service.get("/event/nobody").status == 404)
                redis.kill()
                let began = ContinuousClock.now
                while ContinuousClock.now - began < .seconds(2) {
                    for number in 0..<20 { #expect(try service.get("/event/hot\(number)").status == 200) }
                    let asked = ContinuousClock.now
                    #expect(try service.get("/event/cold\(UInt32.random(in: 0 ... .max))").status == 503)
                    #expect(ContinuousClock.now - asked < .milliseconds(500))
                }
                #expect(try service.get("/event/nobody").status == 503)
                #expect((try Metrics(service).value("adtrack_l1_lookups_total", labels: ["outcome": "stale"]) ?? 0) > 0)
                try redis.start()
                // It comes back empty: now the absence is authoritative.
                let isAuthoritative = try await eventually(within: .seconds(3)) {
                    try service.get("/event/cold").status == 404
                }
                #expect(isAuthoritative)
            }
        }

        @Test("a Redis that hangs costs a miss its deadline and the known ids nothing")
        func hangs() async throws {
            try await withRedis { redis, service async throws in
                try put(redis, "hot")
                #expect(try service.get("/event/hot").status == 200)
                let ids = try service.directory.write("hot", to: "ids")
                redis.pause()
                let load = try service.directory.run(
                    Binary.path(),
                    ["load", service.url, "--rate", "500", "--duration", "3s", "--ids", ids, "--json", "--quiet"]
                )
                var slowest = Duration.zero
                while load.isRunning {
                    let began = ContinuousClock.now
                    let answer = try service.get("/event/cold\(UInt32.random(in: 0 ... .max))")
                    slowest = max(slowest, ContinuousClock.now - began)
                    #expect(answer.status == 503)
                }
                #expect(try await load.exit() == .status(0))
                let summary = try JSONDecoder().decode([String: JSON].self, from: Data(load.output.utf8))
                #expect(summary["status"]?.object == ["200": .number(1_500)])
                // 50 ms is the deadline; the rest is for a machine that is busy with other tests.
                #expect(slowest < .milliseconds(300))
                redis.resume()
                #expect(try await eventually(within: .seconds(2)) { try service.get("/event/cold").status == 404 })
            }
        }

        @Test("a published change is served by every event loop, a deleted program by none, and no version goes back")
        func pushed() async throws {
            try await withRedis(["--event-loops", "2"]) { redis, service async throws in
                try put(redis, "p", ["version", "1"])
                // Enough connections to have some on each loop.
                let clients = try (0..<16).map { _ in try RawConnection(port: service.port) }
                func names() throws -> Set<String> {
                    Set(try clients.map { try $0.exchange("/event/p").json["programName"]?.text ?? "none" })
                }
                #expect(try names() == ["Name of p"])
                func publish(_ version: Int, _ name: String) throws {
                    let message = #"{"programId":"p","programName":"\#(name)","valid":true,"version":\#(version)}"#
                    try redis.cli("PUBLISH", "adtrack.core-data", message)
                }
                try publish(5, "five")
                #expect(try await eventually(within: .seconds(2)) { try names() == ["five"] })
                try publish(4, "four")
                try redis.cli("PUBLISH", "adtrack.core-data", "{broken")
                try publish(6, "six")
                #expect(try await eventually(within: .seconds(2)) { try names() == ["six"] })
                try redis.cli("PUBLISH", "adtrack.core-data", #"{"programId":"p","version":7,"deleted":true}"#)
                let isGone = try await eventually(within: .seconds(2)) {
                    try clients.allSatisfy { try $0.exchange("/event/p").status == 404 }
                }
                #expect(isGone)
                try publish(7, "seven")
                try publish(8, "eight")
                #expect(try await eventually(within: .seconds(2)) { try names() == ["eight"] })
            }
        }

        @Test("adtrack programs writes what the service serves at once")
        func programsCommand() async throws {
            try await withRedis { redis, service async throws in
                #expect(try service.get("/event/made").status == 404)
                let program = #"{"programId":"made","programName":"Made","valid":true}"#
                #expect(try await Binary.run(["programs", "put", program, "--redis", redis.url]).exit == .status(0))
                #expect(try await eventually(within: .seconds(1)) { try service.get("/event/made").status == 200 })
                let (exit, output, _) = try await Binary.run(["programs", "get", "made", "--redis", redis.url])
                #expect(exit == .status(0))
                let json = try JSONDecoder().decode([String: JSON].self, from: Data(output.utf8))
                #expect(json["programName"] == .string("Made"))
                #expect(json["version"]?.number != nil)
                #expect(try await Binary.run(["programs", "list", "--redis", redis.url]).output == "made\n")
                #expect(try await Binary.run(["programs", "delete", "made", "--redis", redis.url]).exit == .status(0))
                #expect(try await eventually(within: .seconds(1)) { try service.get("/event/made").status == 404 })
                #expect(try await Binary.run(["programs", "get", "made", "--redis", redis.url]).exit == .status(1))
            }
        }

        @Test("a program whose fields cannot be read is 503, and its neighbours are served")
        func malformed() async throws {
            try await withRedis { redis, service async throws in
                try put(redis, "number", ["customerId", "abc"])
                try put(redis, "large", ["customerId", "2147483648"])
                try put(redis, "date", ["validUntil", "tomorrow"])
                try put(redis, "rules", ["parameters", "{"])
                try redis.cli("SET", "program:string", "x")
                try redis.cli("RPUSH", "program:list", "x")
                try put(redis, "good")
                for id in ["number", "large", "date", "rules", "string", "list"] {
                    let answer = try service.get("/event/\(id)")
                    #expect(answer.status == 503, "\(id)")
                    #expect(answer.code == "unavailable", "\(id)")
                    #expect(answer["Retry-After"] != nil, "\(id)")
                }
                #expect(try service.get("/event/good").status == 200)
            }
        }

        @Test("an empty prefix reads the keys of the replaced system, with their quotes")
        func replacedSystem() async throws {
            try await RedisServer.with { redis async throws in
                var setup = Service.Setup(["--redis-key-prefix", ""])
                setup.environment = ["REDIS_HOST": "127.0.0.1", "REDIS_PORT": "\(redis.port)"]
                try redis.cli([
                    "HSET", "212312", "programId", "\"212312\"", "programName", "\"Old\"", "checksum", "\"abc\"",
                    "customerId",
                    "\"7\"", "customerName", "\"Someone\"", "valid", "true",
                ])
                try await Service.with(setup) { service async throws in
                    #expect(try await eventually { try service.get("/event/212312").status == 200 })
                    let json = try service.get("/event/212312").json
                    #expect(json["programName"] == .string("Old"))
                    #expect(json["customerId"] == .number(7))
                    #expect(json["checksum"] == .string("abc"))
                }
            }
        }
    }
}
