import Foundation
import TestSupport
import Testing

extension Integration {
    /// The journal of the real service, and what disks do to it.
    @Suite("The journal under fire")
    struct JournalFireTests {
        private static func count(_ variable: String, default value: Int) -> Int {
            ProcessInfo.processInfo.environment[variable].flatMap(Int.init) ?? value
        }

        /// `ADTRACK_CUTS` says how often the power goes for each durability.
        static let cuts = count("ADTRACK_CUTS", default: 3)

        private func load(
            _ port: Int,
            _ record: String,
            rate: Int,
            in directory: TestDirectory
        ) throws -> ServiceProcess {
            try directory.run(
                Binary.path(),
                [
                    "load", "http://127.0.0.1:\(port)", "--rate", "\(rate)", "--duration", "1h", "--connections", "32",
                    "--record", record, "--json", "--quiet",
                ]
            )
        }

        private func ids(_ record: String) throws -> [String] {
            try String(decoding: Data(contentsOf: URL(fileURLWithPath: record)), as: UTF8.self)
                .split(separator: "\n").map(String.init)
        }

        /// A place where the file sink can't make its directory, until it is removed.
        private func blockSink(_ directory: TestDirectory) throws { try directory.write("in the way", to: "events") }

        private func unblockSink(_ directory: TestDirectory) throws {
            try FileManager.default.removeItem(atPath: directory.events)
        }

        private func setup(_ arguments: [String], journal: String, _ directory: TestDirectory) -> Service.Setup {
            var setup = Service.Setup(["--journal", journal, "--sink", "file:\(directory.events)"] + arguments)
            setup.hasOwnData = false
            return setup
        }

        /// Milliseconds since the epoch, of a UUID of version 7 (RFC 9562 section 5.7).
        private func milliseconds(of id: String) -> Int {
            Int(id.filter { $0 != "-" }.prefix(12), radix: 16) ?? 0
        }

        // MARK: Power

        @Test(
            "the power goes under load: with fsync nothing accepted is missing, with write the last 50 ms at most",
            .enabled(if: JournalDisks.canLoop, "needs root, loop devices and e2fsprogs"),
            arguments: ["fsync", "write"]
        )
        func power(_ durability: String) async throws {
            try await TestDirectory.with { directory async throws in
                let disk = try CuttableDisk(directory)
                defer { disk.unmount() }
                try blockSink(directory)
                var setup = setup(["--durability", durability], journal: disk.path + "/deep/journal", directory)
                setup.port = try FreePort.next()
                var accepted: Set<String> = []
                var cutsAt: [(record: [String], from: Int, to: Int)] = []
                for round in 0..<max(1, Self.cuts) {
                    let record = "\(directory.path)/accepted-\(round)"
                    let service = try await Service.start(setup, in: directory)
                    let load = try load(setup.port, record, rate: 1_500, in: directory)
                    do {
                        let isServing = await eventually(within: .seconds(20)) { ((try? ids(record)) ?? []).count > 50 }
                        #expect(isServing)
                        // The instant of the cut is what varies.
                        try await Task.sleep(for: .milliseconds(Int.random(in: 20...300)))
                        let from = Int(Date().timeIntervalSince1970 * 1000)
                        try disk.cutPower()
                        let to = Int(Date().timeIntervalSince1970 * 1000)
                        load.signal(SIGINT)
                        #expect(try await load.exit() == .status(0))
                        cutsAt.append((try ids(record), from, to))
                    } catch {
                        await load.end()
                        await service.process.end()
                        throw error
                    }
                    await service.process.end()
                    accepted.formUnion(try ids(record))
                    disk.unmount()
                    try disk.mount()
                }
                try unblockSink(directory)
                let service = try await Service.start(setup, in: directory)
                let isDrained = try await eventually(within: .seconds(20)) { try Ledger(service).pending == 0 }
                #expect(isDrained)
                #expect(try Ledger(service).balances)
                #expect(try await service.stop() == .status(0))
                let delivered = Set(try EventFiles.ids(directory.events))
                #expect(accepted.count > 100)
                guard durability == "write" else {
                    #expect(accepted.subtracting(delivered).isEmpty, "of \(accepted.count) accepted")
                    return
                }
                for cut in cutsAt {
                    let oldest = cut.record.filter { !delivered.contains($0) }.map(milliseconds).min() ?? cut.to
                    #expect(cut.from - oldest <= 50, "lost what was accepted \(cut.from - oldest) ms before the cut")
                }
            }
        }

        // MARK: Full disks

        /// Serves with a sink that takes nothing until the journal refuses; then asks for health, makes room and waits.
        private func fill(
            _ service: Service,
            makeRoom: () throws -> Void
        ) async throws -> (accepted: [String], health: [Duration], recovery: Duration) {
            var accepted: [String] = []
            let long = String(repeating: "x", count: 6_000)
            let connection = try RawConnection(port: service.port)
            var refusal: RawResponse?
            for _ in 0..<20_000 where refusal == nil {
                let answer = try connection.exchange("/event/212312?a=\(long)")
                if let id = try answer.json["messageId"]?.text { accepted.append(id) } else { refusal = answer }
            }
            #expect(refusal?.status == 503)
            #expect(refusal?.code == "journal_full")
            #expect(refusal?["Retry-After"].flatMap(Int.init) != nil)
            var health: [Duration] = []
            for _ in 0..<300 {
                let asked = ContinuousClock.now
                #expect(try connection.exchange("/health/check").status == 200)
                health.append(ContinuousClock.now - asked)
                // While it lasts nothing is taken.
                #expect(try connection.exchange("/event/212312?a=\(long)").code == "journal_full")
            }
            #expect(try Ledger(service).balances)
            try makeRoom()
            let began = ContinuousClock.now
            let isNormal = try await eventually(within: .seconds(10)) {
                let answer = try connection.exchange("/event/212312")
                if let id = try answer.json["messageId"]?.text { accepted.append(id) }
                return answer.status == 200
            }
            #expect(isNormal)
            return (accepted, health.sorted(), ContinuousClock.now - began)
        }

        private func checkFull(
            _ service: Service,
            _ directory: TestDirectory,
            makeRoom: () throws -> Void
        ) async throws {
            let id = service.process.id
            let (accepted, health, recovery) = try await fill(service, makeRoom: makeRoom)
            #expect(health[health.count * 99 / 100] < .milliseconds(10))
            #expect(recovery < .seconds(2))
            #expect(service.process.isRunning && service.process.id == id)
            try unblockSink(directory)
            #expect(try await eventually(within: .seconds(20)) { try Ledger(service).pending == 0 })
            let ledger = try Ledger(service)
            #expect(ledger.dropped == 0 && ledger.accepted == Double(accepted.count))
            #expect(try await service.stop() == .status(0))
            #expect(Set(accepted) == Set(try EventFiles.ids(directory.events)))
        }

        @Test(
            "a full disk refuses, keeps what it accepted, and is well again two seconds after space is back",
            .enabled(if: JournalDisks.canMount, "mounts file systems, which needs root")
        )
        func fullDisk() async throws {
            try await TestDirectory.with { directory async throws in
                try await JournalDisks.withSmallDisk(directory, options: "size=12m") { disk async throws in
                    try blockSink(directory)
                    let service = try await Service.start(
                        setup(["--journal-max-bytes", "8MiB"], journal: disk + "/journal", directory),
                        in: directory
                    )
                    // Somebody else's file, so that the disk is full before the bound.
                    try JournalDisks.run("fallocate", "-l", "6M", disk + "/other")
                    do {
                        try await checkFull(service, directory) {
                            try JournalDisks.run("mount", "-o", "remount,size=64m", disk)
                        }
                    } catch {
                        await service.process.end()
                        throw error
                    }
                }
            }
        }

        @Test(
            "no inodes left is a full disk",
            .enabled(if: JournalDisks.canMount, "mounts file systems, which needs root")
        )
        func noInodes() async throws {
            try await TestDirectory.with { directory async throws in
                try await JournalDisks.withSmallDisk(directory, options: "size=64m,nr_inodes=40") { disk async throws in
                    try blockSink(directory)
                    let service = try await Service.start(
                        setup(["--journal-max-bytes", "8MiB"], journal: disk + "/journal", directory),
                        in: directory
                    )
                    do {
                        var others: [String] = []
                        while FileManager.default.createFile(atPath: "\(disk)/other-\(others.count)", contents: nil) {
                            others.append("\(disk)/other-\(others.count)")
                        }
                        try await checkFull(service, directory) {
                            for other in others { try FileManager.default.removeItem(atPath: other) }
                        }
                    } catch {
                        await service.process.end()
                        throw error
                    }
                }
            }
        }

        // MARK: Failing and slow syncs

        @Test("a sync that fails once costs a segment; one that fails on or hangs is unavailable; none is tried again")
        func syncs() async throws {
            try await TestDirectory.with { directory async throws in
                let syncs = try SlowSyncs(directory)
                var setup = Service.Setup()
                setup.environment = syncs.environment
                let service = try await Service.start(setup, in: directory)
                do {
                    let connection = try RawConnection(port: service.port)
                    var accepted: [String] = []
                    func ask() throws -> RawResponse {
                        let answer = try connection.exchange("/event/212312")
                        if let id = try answer.json["messageId"]?.text { accepted.append(id) }
                        return answer
                    }
                    #expect(try ask().status == 200)
                    try syncs.set("fail 1")
                    for _ in 0..<20 { #expect(try ask().status == 200) }
                    for fault in ["fail 1000000", "sleep 4000"] {
                        try syncs.set(fault)
                        let began = ContinuousClock.now
                        let refusal = try ask()
                        #expect(refusal.status == 503 && refusal.code == "unavailable", "\(fault)")
                        #expect(ContinuousClock.now - began < .seconds(3), "\(fault)")
                        var health: [Duration] = []
                        for _ in 0..<200 {
                            let probe = ContinuousClock.now
                            #expect(try connection.exchange("/health/check").status == 200)
                            health.append(ContinuousClock.now - probe)
                            #expect(try ask().code == "unavailable", "\(fault)")
                        }
                        #expect(health.sorted()[198] < .milliseconds(10), "\(fault)")
                        try syncs.set("")
                        let cleared = ContinuousClock.now
                        #expect(try await eventually(within: .seconds(10)) { try ask().status == 200 })
                        // A sync that sleeps already goes on sleeping.
                        let limit: Duration = fault.hasPrefix("sleep") ? .seconds(6) : .seconds(2)
                        #expect(ContinuousClock.now - cleared < limit, "\(fault)")
                    }
                    #expect(!syncs.wasRetried)
                    #expect(try Metrics(service).value("adtrack_journal_state", labels: ["state": "ok"]) == 1)
                    #expect(try Ledger(service).balances)
                    #expect(try await service.stop() == .status(0))
                    #expect(Set(accepted).subtracting(try EventFiles.ids(directory.events)).isEmpty)
                } catch {
                    await service.process.end()
                    throw error
                }
            }
        }

        // MARK: The bound

        @Test(
            "at the bound each policy's counters are exact",
            arguments: ["reject", "drop_oldest", "answer_unrecorded"]
        )
        func bound(_ policy: String) async throws {
            try await TestDirectory.with { directory async throws in
                try blockSink(directory)
                let service = try await Service.start(
                    Service.Setup(["--journal-max-bytes", "256KiB", "--journal-full", policy]),
                    in: directory
                )
                do {
                    let connection = try RawConnection(port: service.port)
                    let long = String(repeating: "x", count: 4_000)
                    var sent = 0
                    var dropped = 0.0
                    var answers: [Int: Int] = [:]
                    var accepted: Set<String> = []
                    // What the sink has in its hands, 8 MiB at most, is pending and not dropped.
                    while sent < 300 || policy != "reject" && sent < 10_000 && dropped <= 100 {
                        for _ in 0..<100 {
                            let answer = try connection.exchange("/event/212312?a=\(long)")
                            answers[answer.status, default: 0] += 1
                            if let id = try answer.json["messageId"]?.text { accepted.insert(id) }
                        }
                        sent += 100
                        dropped = try Ledger(service).dropped
                    }
                    try unblockSink(directory)
                    #expect(try await eventually(within: .seconds(20)) { try Ledger(service).pending == 0 })
                    let ledger = try Ledger(service)
                    #expect(ledger.balances)
                    #expect(ledger.received == Double(sent) && ledger.accepted == Double(answers[200] ?? 0))
                    if policy == "reject" {
                        #expect(answers[503] ?? 0 > 100 && ledger.dropped == 0)
                        #expect(ledger.appended == ledger.accepted)
                    } else {
                        #expect(answers == [200: sent])
                        #expect(ledger.appended == Double(sent) && ledger.dropped > 100)
                    }
                    let reason = try Metrics(service).value(
                        "adtrack_journal_dropped_events_total",
                        labels: ["reason": "bound"]
                    )
                    #expect(reason == ledger.dropped)
                    #expect(try await service.stop() == .status(0))
                    let delivered = Set(try EventFiles.ids(directory.events))
                    #expect(delivered.isSubset(of: accepted))
                    #expect(accepted.count - delivered.count == Int(ledger.dropped))
                } catch {
                    await service.process.end()
                    throw error
                }
            }
        }
    }
}
