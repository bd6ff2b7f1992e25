import Foundation
import TestSupport
import Testing

extension Integration {
    /// From the public port to a stream outside.
    @Suite("Delivery")
    struct DeliveryTests {
        @Test("a Redis sink gets every accepted event, under its message id, and the ledger and the metrics say so")
        func redis() async throws {
            try await RedisServer.with { redis async throws in
                try await TestDirectory.with { directory async throws in
                    let service = try await Service.start(
                        sinks: ["redis:events?url=\(redis.url)&maxlen=100000"],
                        in: directory
                    )
                    var ids: Set<String> = []
                    for _ in 0..<300 { ids.insert(try #require(service.get("/event/212312").json["messageId"]?.text)) }
                    #expect(try await eventually { try service.delivered("redis:events") == 300 })
                    let ledger = try Ledger(service)
                    #expect(ledger.balances && ledger.acknowledged == 300)
                    let metrics = try Metrics(service)
                    let labels = ["sink": "redis:events"]
                    let records = "adtrack_sink_records_total"
                    #expect(metrics.value(records, labels: labels.merging(["result": "delivered"]) { $1 }) == 300)
                    for result in ["failed", "throttled", "quarantined"] {
                        #expect(metrics.value(records, labels: labels.merging(["result": result]) { $1 }) == 0)
                    }
                    #expect(metrics.value("adtrack_sink_breaker_state", labels: labels) == 0)
                    #expect(try Self.ids(redis) == ids)
                    #expect(try await service.stop() == .status(0))
                    // What is set beside the name is no part of it.
                    #expect(!service.process.log.contains("maxlen"))
                }
            }
        }

        @Test("a dead sink delays neither the answers nor the other sink, and its events arrive when it is back")
        func deadSink() async throws {
            try await RedisServer.with { redis async throws in
                redis.kill()
                try await TestDirectory.with { directory async throws in
                    let sinks = ["redis:events?url=\(redis.url)", "file:\(directory.events)"]
                    let service = try await Service.start(sinks: sinks, in: directory)
                    for _ in 0..<200 { #expect(try service.get("/event/212312").status == 200) }
                    #expect(try await eventually { try EventFiles.ids(directory.events).count == 200 })
                    #expect(try await eventually { try service.breaker("redis:events") == 2 })
                    #expect(try service.get("/health/ready").status == 200)
                    var ledger = try Ledger(service)
                    #expect(ledger.balances && ledger.pending == 200)
                    // A stop does not wait for it, and forgets nothing.
                    #expect(try await service.stop(within: .seconds(8)) == .status(0))
                    try redis.start()
                    let next = try await Service.start(sinks: sinks, in: directory)
                    #expect(try await eventually { try Ledger(next).pending == 0 })
                    ledger = try Ledger(next)
                    #expect(ledger.balances)
                    #expect(try await next.stop() == .status(0))
                    #expect(try Self.ids(redis) == Set(EventFiles.ids(directory.events)))
                    #expect(try EventFiles.ids(directory.events).count == 200)
                }
            }
        }

        @Test("Redis stops and starts under load: every accepted event is there afterwards, and the answers went on")
        func outage() async throws {
            try await RedisServer.with { redis async throws in
                try await TestDirectory.with { directory async throws in
                    let service = try await Service.start(sinks: ["redis:events?url=\(redis.url)"], in: directory)
                    let load = try service.startLoad(rate: 500, seconds: 6)
                    #expect(try await eventually { try service.delivered("redis:events") > 100 })
                    // The stream survives: what was stored before is kept.
                    try redis.cli("CLIENT", "KILL", "TYPE", "normal")
                    redis.pause()
                    #expect(try await eventually(within: .seconds(10)) { try Ledger(service).pending > 300 })
                    redis.resume()
                    #expect(try await load.exit() == .status(0))
                    #expect(try await eventually(within: .seconds(20)) { try Ledger(service).pending == 0 })
                    let ledger = try Ledger(service)
                    #expect(ledger.balances && ledger.unavailable == 0 && ledger.accepted > 2_000)
                    #expect(Double(try Self.ids(redis).count) == ledger.accepted)
                    #expect(try await service.stop() == .status(0))
                }
            }
        }

        @Test("over TLS with an ACL user, a Redis that is killed and starts again loses nothing that was accepted")
        func encrypted() async throws {
            var options = RedisServer.Options()
            options.usesTLS = true
            // What it answered is on its disk, so that a kill takes nothing that was acknowledged.
            options.configuration = [
                "appendonly yes", "appendfsync always", "user sink on >s3cret ~events +xadd +ping +client",
            ]
            try await RedisServer.with(options) { redis async throws in
                try await TestDirectory.with { directory async throws in
                    let service = try await Service.start(
                        sinks: ["redis:events?url=rediss://sink:s3cret@127.0.0.1:\(redis.port)"],
                        in: directory,
                        arguments: ["--redis-ca", redis.certificateAuthority]
                    )
                    let load = try service.startLoad(rate: 300, seconds: 6)
                    #expect(try await eventually { try service.delivered("redis:events") > 100 })
                    redis.kill()
                    #expect(try await eventually(within: .seconds(10)) { try Ledger(service).pending > 300 })
                    try redis.start()
                    let summary = try await LoadSummary(of: load, within: .seconds(30))
                    #expect(summary.allWereAccepted)
                    #expect(try await eventually(within: .seconds(20)) { try Ledger(service).pending == 0 })
                    let books = try Ledger(service)
                    #expect(books.balances && books.accepted == summary.accepted)
                    #expect(Double(try Self.ids(redis).count) == books.accepted)
                    #expect(!service.process.log.contains("s3cret"))
                    #expect(try await service.stop() == .status(0))
                }
            }
        }

        @Test("a journal or event files are sent again by adtrack events --replay, which says how many")
        func replay() async throws {
            try await RedisServer.with { redis async throws in
                try await Service.with { service async throws in
                    for _ in 0..<50 { #expect(try service.get("/event/212312").status == 200) }
                    #expect(try await service.stop() == .status(0))
                    let sink = "redis:again?url=\(redis.url)"
                    let (exit, output, log) = try await Binary.run(
                        ["events", "--replay", service.directory.events, "--sink", sink]
                    )
                    #expect(exit == .status(0), "\(log)")
                    #expect(output == "read 50\nredis:again: delivered 50, refused 0, not delivered 0\n")
                    let ids = try EventFiles.ids(service.directory.events)
                    #expect(try Self.ids(redis, "again") == Set(ids))
                    // To a sink that is dead: it gives up, and does not say that all is well.
                    redis.kill()
                    let failed = try await Binary.run(
                        ["events", "--replay", service.directory.events, "--sink", sink, "--patience", "500ms"]
                    )
                    #expect(failed.exit == .status(1))
                    #expect(failed.output.contains("not delivered 50"))
                    let wrong = try await Binary.run(["events", "--replay", service.directory.events])
                    #expect(wrong.exit == .status(64) && wrong.log.contains("--sink"))
                }
            }
        }

        @Test("what Kinesis refuses is in the quarantine with its reason, and can be sent again")
        func quarantine() async throws {
            try await StandIn.with("kinesis", ["--record-bytes", "700"]) { kinesis async throws in
                try await TestDirectory.with { directory async throws in
                    let keys = ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"]
                    let sink = "kinesis:events?region=us-east-1&endpoint=\(kinesis.url)"
                    let service = try await Service.start(sinks: [sink], in: directory, environment: keys)
                    let poison = String(repeating: "x", count: 900)
                    for number in 0..<40 {
                        let agent = number == 20 ? poison : "agent"
                        #expect(try service.get("/event/212312", headers: ["User-Agent: \(agent)"]).status == 200)
                    }
                    #expect(try await eventually(within: .seconds(10)) { try Ledger(service).pending == 0 })
                    let ledger = try Ledger(service)
                    #expect(ledger.balances && ledger.acknowledged == 40)
                    #expect(try service.delivered("kinesis:events") == 39)
                    #expect(try service.quarantined("kinesis:events") == 1)
                    #expect(try await service.stop() == .status(0))
                    let quarantine = directory.journal + "/quarantine"
                    let (exit, output, _) = try await Binary.run(["events", quarantine])
                    #expect(exit == .status(0))
                    let json = try JSONDecoder().decode([String: JSON].self, from: Data(output.utf8))
                    #expect(json["userAgent"] == .string(poison))
                    #expect(json["refused"]?.object?["sink"] == .string("kinesis:events"))
                    #expect(json["refused"]?.object?["reason"] == .string("ValidationException"))
                    // A sink that takes it.
                    let again = try await Binary.run(
                        ["events", "--replay", quarantine, "--sink", "file:\(directory.path)/again"]
                    )
                    #expect(again.exit == .status(0), "\(again.log)")
                    #expect(try EventFiles.ids(directory.path + "/again") == [json["messageId"]?.text])
                    #expect(!service.process.log.contains("AWS_SECRET"))
                }
            }
        }

        /// The field `id` of each entry.
        private static func ids(_ redis: RedisServer, _ key: String = "events") throws -> Set<String> {
            let lines = try redis.cli("XRANGE", key, "-", "+").split(separator: "\n", omittingEmptySubsequences: false)
            return Set(lines.indices.filter { lines[$0] == "id" && $0 + 1 < lines.count }.map { String(lines[$0 + 1]) })
        }
    }
}
