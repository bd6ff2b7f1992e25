import Foundation
import TestSupport
import Testing

extension Integration {
    /// A sink that is away: what is accepted meanwhile waits in the journal, and nobody who asks notices.
    ///
    /// `ADTRACK_OUTAGE_SECONDS` (15) and `ADTRACK_OUTAGE_RATE` (500 requests a second) make it longer and harder; with an
    /// optimised `ADTRACK_BINARY` it stands ten minutes at 2,000.
    @Suite("A sink that is away")
    struct OutageTests {
        private static let kinesis = "kinesis:events"
        private static let keys = ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"]
        private static let seconds = Self.number("ADTRACK_OUTAGE_SECONDS") ?? 15
        private static let rate = Self.number("ADTRACK_OUTAGE_RATE") ?? 500
        /// Before the breaker opens: a round of four calls, then one at a time.
        private static let firstAttempts = 6.0
        /// A p99 below it says more about the machine than about the service.
        private static let restlessMilliseconds = 10.0

        private static func number(_ variable: String) -> Int? {
            ProcessInfo.processInfo.environment[variable].flatMap { Int($0) }
        }

        @Test("refusing connections, it changes no answer, is tried once a second, then gets all at thrice the rate")
        func refusesConnections() async throws {
            try await StandIn.with("kinesis") { standIn async throws in
                try await TestDirectory.with { directory async throws in
                    let sink = "\(Self.kinesis)?region=us-east-1&endpoint=\(standIn.url)"
                    let service = try await Service.start(sinks: [sink], in: directory, environment: Self.keys)
                    let healthy = try await service.load(rate: Self.rate, seconds: 5)
                    #expect(healthy.allWereAccepted)
                    #expect(try await eventually { try Ledger(service).pending == 0 })
                    let figures = try await Self.outage(of: standIn, service)
                    let outage = figures.load
                    #expect(outage.allWereAccepted)
                    #expect(outage.p99Ms <= 2 * max(healthy.p99Ms, Self.restlessMilliseconds * Machine.stretch))
                    let seconds = Double(Self.seconds)
                    #expect(figures.attempts <= seconds * 1.1 + (seconds < 60 ? Self.firstAttempts : 0))
                    #expect(figures.attempts >= seconds / 2)
                    let drain = try await Self.drain(service)
                    #expect(drain.load.allWereAccepted)
                    #expect(drain.rate >= 3 * Double(Self.rate))
                    #expect(drain.growth < 64 << 20)
                    #expect(try await eventually(within: .seconds(20)) { try Ledger(service).pending == 0 })
                    let books = try Ledger(service)
                    #expect(books.balances)
                    #expect(books.accepted == healthy.accepted + outage.accepted + drain.load.accepted)
                    let stored = try standIn.ledger()
                    #expect(Double(stored.unique) == books.accepted)
                    #expect(stored.sentAgainAfterAnswer == 0)
                    #expect(try await service.stop() == .status(0))
                    print(
                        "outage of \(Self.seconds) s at \(Self.rate)/s: p99 \(outage.p99Ms) ms, before \(healthy.p99Ms) ms;",
                        "\(figures.attempts / seconds) attempts/s; drained at \(Int(drain.rate))/s,",
                        "memory +\(drain.growth >> 20) MiB; accepted \(Int(books.accepted)), stored \(stored.unique),",
                        "duplicates \(stored.duplicates)"
                    )
                }
            }
        }

        /// The listener is away for all of the load and a second more.
        private static func outage(
            of standIn: StandIn,
            _ service: Service
        ) async throws -> (load: LoadSummary, attempts: Double) {
            try standIn.inject(#"{"kind": "refuse", "seconds": \#(Self.seconds + 1)}"#)
            let before = try service.attempts(Self.kinesis)
            let load = try await service.load(rate: Self.rate, seconds: Self.seconds)
            #expect(try service.breaker(Self.kinesis) > 0)
            #expect(try service.oldestAge(Self.kinesis) > Double(Self.seconds) / 2)
            return (load, try service.attempts(Self.kinesis) - before)
        }

        /// From the first event delivered to the moment when only what just came is left, under the same load.
        private static func drain(
            _ service: Service
        ) async throws -> (load: LoadSummary, rate: Double, growth: Int) {
            let load = try service.startLoad(rate: Self.rate, seconds: max(5, Self.seconds / 4))
            let before = try service.delivered(Self.kinesis)
            let memory = service.residentBytes
            var most = memory
            #expect(try await eventually(within: .seconds(15)) { try service.delivered(Self.kinesis) > before })
            let (began, first) = (ContinuousClock.now, try service.delivered(Self.kinesis))
            let isDrained = try await eventually(within: .seconds(Self.seconds + 30)) {
                most = max(most, service.residentBytes)
                return try Ledger(service).pending < Double(Self.rate)
            }
            #expect(isDrained)
            let count = try service.delivered(Self.kinesis) - first
            let rate = count / (began.duration(to: .now) / .seconds(1))
            let summary = try await LoadSummary(of: load, within: .seconds(Self.seconds + 60))
            return (summary, rate, most - memory)
        }

        @Test("a Redis that turns the service away is connected to at most once a second")
        func turnsAway() async throws {
            var options = RedisServer.Options()
            options.configuration = ["user default on nopass ~* +@all", "user sink on >right ~events +@all"]
            try await RedisServer.with(options) { redis async throws in
                try await TestDirectory.with { directory async throws in
                    let sink = "redis:events?url=redis://sink:wrong@127.0.0.1:\(redis.port)"
                    let service = try await Service.start(sinks: [sink], in: directory)
                    for _ in 0..<20 { #expect(try service.get("/event/212312").status == 200) }
                    #expect(try await eventually { try service.breaker("redis:events") == 2 })
                    let (began, before) = (ContinuousClock.now, try Self.connections(redis))
                    try await Task.sleep(for: .seconds(8))
                    let attempts = try Self.connections(redis) - before - 1
                    let seconds = began.duration(to: .now) / .seconds(1)
                    // Its pauses double from a quarter of a second to two.
                    #expect(Double(attempts) <= seconds * 1.1 + 2)
                    #expect(attempts >= 2)
                    #expect(!service.process.log.contains("wrong@"))
                    try redis.cli("ACL", "SETUSER", "sink", ">wrong")
                    #expect(try await eventually { try Ledger(service).pending == 0 })
                    #expect(try redis.cli("XLEN", "events") == "20")
                    #expect(try await service.stop() == .status(0))
                }
            }
        }

        private static func connections(_ redis: RedisServer) throws -> Int {
            let line = try redis.cli("INFO", "stats").split(whereSeparator: \.isNewline).first {
                $0.hasPrefix("total_connections_received:")
            }
            return try #require(line?.split(separator: ":").last.flatMap { Int($0) })
        }

        @Test("a sink that is dead and one that hangs leave the events of the others as fresh as ever")
        func deadAndHung() async throws {
            try await RedisServer.with { redis async throws in
                try await StandIn.with("kinesis") { hung async throws in
                    try hung.inject(#"{"kind": "hang", "times": 0}"#)
                    try await TestDirectory.with { directory async throws in
                        let dead = "redis:dead?url=redis://127.0.0.1:\(try FreePort.next())"
                        let hanging = "\(Self.kinesis)?region=us-east-1&endpoint=\(hung.url)"
                        let service = try await Service.start(
                            sinks: [dead, hanging, "redis:events?url=\(redis.url)", "file:\(directory.events)"],
                            in: directory,
                            environment: Self.keys
                        )
                        let load = try service.startLoad(rate: 500, seconds: 6)
                        var oldest = 0.0
                        while load.isRunning {
                            oldest = max(oldest, try service.oldestAge("redis:events"))
                            oldest = max(oldest, try service.oldestAge("file:\(directory.events)"))
                            try await Task.sleep(for: .milliseconds(20))
                        }
                        let summary = try await LoadSummary(of: load, within: .seconds(10))
                        #expect(summary.allWereAccepted)
                        #expect(oldest < 2 * Machine.stretch)
                        let accepted = summary.accepted
                        #expect(try await eventually { try service.delivered("redis:events") == accepted })
                        let files = "file:\(directory.events)"
                        #expect(try await eventually { try service.delivered(files) == accepted })
                        #expect(try service.delivered("redis:dead") == 0 && service.delivered(Self.kinesis) == 0)
                        let books = try Ledger(service)
                        #expect(books.balances && books.pending == accepted)
                        await service.process.end()
                    }
                }
            }
        }
    }
}
