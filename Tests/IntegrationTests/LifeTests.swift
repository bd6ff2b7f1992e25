import Foundation
import TestSupport
import Testing

extension Integration {
    /// Kills, stops and starts.
    @Suite("Life and durability")
    struct LifeTests {
        private static func count(_ variable: String, default value: Int) -> Int {
            ProcessInfo.processInfo.environment[variable].flatMap(Int.init) ?? value
        }

        /// `ADTRACK_KILLS` says how often in all.
        static let kills = count("ADTRACK_KILLS", default: 20)
        /// `ADTRACK_STOPS` says how often.
        static let stops = count("ADTRACK_STOPS", default: 4)

        /// A generator that goes on for as long as the test wants, with a line a second of what happens.
        private func load(
            _ port: Int,
            _ record: String,
            rate: Int,
            in directory: TestDirectory
        ) throws -> ServiceProcess {
            try directory.run(
                Binary.path(),
                [
                    "load", "http://127.0.0.1:\(port)", "--rate", "\(rate)", "--duration", "1h", "--connections", "50",
                    "--record", record, "--json",
                ]
            )
        }

        private func lines(_ path: String) throws -> [String] {
            try String(decoding: Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self).split(separator: "\n")
                .map(String.init)
        }

        private func length(_ path: String) throws -> Int {
            (try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
        }

        @Test(
            "kill -9 under load, again and again: every accepted event is in the files of the sink",
            arguments: ["fsync", "write"]
        )
        func kills(durability: String) async throws {
            try await TestDirectory.with { directory async throws in
                var setup = Service.Setup(["--durability", durability])
                setup.port = try FreePort.next()
                let record = directory.path + "/accepted"
                var service = try await Service.start(setup, in: directory)
                let load = try load(setup.port, record, rate: 1_500, in: directory)
                var starts: [Duration] = []
                do {
                    for _ in 0..<max(1, Self.kills / 2) {
                        let before = (try? length(record)) ?? 0
                        let isServing = await eventually(within: .seconds(20)) {
                            ((try? length(record)) ?? 0) > before
                        }
                        #expect(isServing)
                        // The instant of the kill is what varies.
                        try await Task.sleep(for: .milliseconds(Int.random(in: 20...300)))
                        await service.process.end()
                        let began = ContinuousClock.now
                        service = try await Service.start(setup, in: directory)
                        starts.append(ContinuousClock.now - began)
                    }
                    load.signal(SIGINT)
                    #expect(try await load.exit() == .status(0))
                    #expect(try await service.stop() == .status(0))
                } catch {
                    await load.end()
                    await service.process.end()
                    throw error
                }
                let accepted = try lines(record)
                let delivered = Set(try EventFiles.ids(directory.events))
                #expect(accepted.count > 100)
                #expect(Set(accepted).subtracting(delivered).count == 0, "of \(accepted.count) accepted")
                #expect(starts.sorted()[starts.count / 2] < .seconds(1), "starts took \(starts)")
            }
        }

        @Test("SIGTERM under load: no reset, no answer that does not come, no event lost, exit 0")
        func stops() async throws {
            for _ in 0..<max(1, Self.stops) {
                try await TestDirectory.with { directory async throws in
                    let service = try await Service.start(in: directory)
                    let record = directory.path + "/accepted"
                    let load = try load(service.port, record, rate: 2_000, in: directory)
                    do {
                        _ = try await load.line { $0.contains("200:") }
                        let began = ContinuousClock.now
                        #expect(try await service.stop(within: .seconds(25)) == .status(0))
                        #expect(ContinuousClock.now - began < .seconds(25))
                        load.signal(SIGINT)
                        #expect(try await load.exit() == .status(0))
                    } catch {
                        await load.end()
                        await service.process.end()
                        throw error
                    }
                    let summary = try JSONDecoder().decode([String: JSON].self, from: Data(load.output.utf8))
                    let failures = try #require(summary["failures"]?.object)
                    // New connections are refused while it drains; those that were open are served to their end.
                    for kind in ["reset", "closed", "timeout", "malformed"] {
                        #expect(failures[kind] == .number(0), "\(kind): \(failures)")
                    }
                    let accepted = try lines(record)
                    #expect(accepted.count > 500)
                    #expect(Set(accepted).subtracting(try EventFiles.ids(directory.events)).count == 0)
                }
            }
        }

        @Test("SIGINT drains too")
        func interrupt() async throws {
            try await Service.with { service async throws in
                #expect(try service.get("/event/212312").status == 200)
                service.process.signal(SIGINT)
                #expect(try await service.process.exit(within: .seconds(25)) == .status(0))
                #expect(try EventFiles.ids(service.directory.events).count == 1)
            }
        }

        @Test("a second SIGTERM means at once")
        func twice() async throws {
            try await Service.with(Service.Setup(["--drain-delay", "20s"])) { service async throws in
                #expect(try service.get("/event/212312").status == 200)
                service.process.signal(SIGTERM)
                _ = try await eventually(within: .seconds(5)) { try service.get("/health/ready").status == 503 }
                let began = ContinuousClock.now
                service.process.signal(SIGTERM)
                _ = try await service.process.exit(within: .seconds(10))
                #expect(ContinuousClock.now - began < .seconds(2))
            }
        }

        @Test("connections that are open and silent do not keep it from ending")
        func silentConnections() async throws {
            try await Service.with { service async throws in
                let clients = try (0..<10).map { _ in try RawConnection(port: service.port) }
                for client in clients { #expect(try client.exchange("/event/212312").status == 200) }
                #expect(try await service.stop(within: .seconds(20)) == .status(0))
                for client in clients { #expect(client.ending(within: .seconds(1)) == .closed) }
            }
        }

        @Test("events that a killed service left in its journal are delivered by the next, and counted as appended")
        func recovery() async throws {
            try await TestDirectory.with { directory async throws in
                // The sink waits so long for a batch that nothing is delivered before the kill.
                let setup = Service.Setup(["--batch-age", "1m", "--batch-records", "100000"])
                let first = try await Service.start(setup, in: directory)
                var ids: Set<String> = []
                for _ in 0..<25 { ids.insert(try #require(try first.get("/event/212312").json["messageId"]?.text)) }
                await first.process.end()
                let second = try await Service.start(in: directory)
                let ledger = try Ledger(second)
                #expect(ledger.appended == 25)
                #expect(ledger.received == 0)
                #expect(ledger.balances)
                let isDelivered = try await eventually(within: .seconds(5)) { try Ledger(second).acknowledged == 25 }
                #expect(isDelivered)
                #expect(try await second.stop() == .status(0))
                #expect(Set(try EventFiles.ids(directory.events)) == ids)
            }
        }

        @Test("a journal at its bound refuses with journal_full and Retry-After, and goes on when there is room")
        func journalFull() async throws {
            try await TestDirectory.with { directory async throws in
                // A directory that the sink cannot write to until it may.
                try directory.write("in the way", to: "events")
                let service = try await Service.start(Service.Setup(["--journal-max-bytes", "256KiB"]), in: directory)
                let connection = try RawConnection(port: service.port)
                var refusal: RawResponse?
                let long = String(repeating: "x", count: 4_000)
                for _ in 0..<500 where refusal == nil {
                    let answer = try connection.exchange("/event/212312?a=\(long)")
                    if answer.status != 200 { refusal = answer }
                }
                #expect(refusal?.status == 503)
                #expect(refusal?.code == "journal_full")
                #expect(refusal?["Retry-After"].flatMap(Int.init) != nil)
                #expect(try Ledger(service).balances)
                try FileManager.default.removeItem(atPath: directory.events)
                let isServing = try await eventually(within: .seconds(20)) {
                    try service.get("/event/212312").status == 200
                }
                #expect(isServing)
                #expect(try await service.stop() == .status(0))
            }
        }
    }
}
