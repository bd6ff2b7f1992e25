import Foundation
import TestSupport
import Testing
import TrackingModel

extension Integration {
    /// What of a request is in the file sink, in the ledger and in the metrics.
    @Suite("What is recorded")
    struct RecordedTests {
        @Test("each accepted answer has one event, and every field of it is the answer's or the request's")
        func events() async throws {
            try await AnswerTests.withPrograms { service async throws in
                var answers: [String: [String: JSON]] = [:]
                let before = Date()
                for (target, agent) in [
                    ("/event/plain?campaign=a%26b&empty=&flag&type=impression", "one"),
                    (
                        "/event/rules?orderId=7&amount=1.50&currency=EUR&campaign=%C3%BC+&type=conversion&checksum=r",
                        #"tw"o\"#
                    ),
                    ("/event/checked?checksum=s3cret", ""),
                ] {
                    let fields =
                        (agent.isEmpty ? [] : ["User-Agent: \(agent)"]) + ["Referer: http://example.com/\(agent.count)"]
                    let json = try service.get(target, headers: fields).json
                    answers[try #require(json["messageId"]?.text)] = json
                }
                // What is refused leaves nothing.
                #expect(try service.get("/event/nobody").status == 404)
                #expect(try service.get("/event/off").status == 410)
                #expect(try await service.stop() == .status(0))

                let events = try EventFiles.read(service.directory.events)
                #expect(events.count == 3)
                for event in events {
                    let answer = try #require(answers[event.messageID])
                    #expect(answer["programId"] == .string(event.programid))
                    #expect(answer["checksum"] == .string(event.checksum))
                    #expect(answer["customerId"] == .number(Double(event.customerID)))
                    #expect(answer["userAgent"] == .string(event.userAgent))
                    #expect(answer["programName"] == .string(event.programName))
                    #expect(answer["customerName"] == .string(event.customerName))
                    #expect(answer["valid"] == .flag(event.isValid))
                    #expect(event.referrer == "http://example.com/\(event.userAgent.count)")
                    let time = Date(timeIntervalSince1970: Double(event.time) / 1_000)
                    #expect(time > before.addingTimeInterval(-1) && time < Date().addingTimeInterval(1))
                    // The client's address is truncated by default.
                    #expect(event.clientAddress == "127.0.0.0")
                }
                let byID = Dictionary(uniqueKeysWithValues: events.map { ($0.programid, $0) })
                #expect(byID["plain"]?.parameters == ["campaign": "a&b", "empty": "", "flag": ""])
                #expect(byID["plain"]?.eventType == .impression)
                #expect(byID["plain"]?.programVersion == 3)
                #expect(
                    byID["rules"]?.parameters == [
                        "orderId": "7", "amount": "1.50", "currency": "EUR", "campaign": "ü+",
                    ]
                )
                #expect(byID["rules"]?.eventType == .conversion)
                #expect(byID["checked"]?.eventType == .click)
                #expect(byID["checked"]?.parameters == [:])
                #expect(byID["checked"]?.programVersion == 0)
            }
        }

        @Test("a second sink gets a copy of every event")
        func twoSinks() async throws {
            try await TestDirectory.with { directory async throws in
                let setup = Service.Setup(["--sink", "file:\(directory.path)/copy"])
                let service = try await Service.start(setup, in: directory)
                for _ in 0..<10 { #expect(try service.get("/event/212312").status == 200) }
                #expect(try await service.stop() == .status(0))
                let ids = try EventFiles.ids(directory.events)
                #expect(ids.count == 10)
                #expect(try Set(EventFiles.ids(directory.path + "/copy")) == Set(ids))
            }
        }

        @Test("adtrack events prints the sink's files and the journal as JSON lines")
        func eventsCommand() async throws {
            try await Service.with { service async throws in
                let id = try #require(try service.get("/event/212312?n=1&type=conversion").json["messageId"]?.text)
                #expect(try await service.stop() == .status(0))
                for path in [service.directory.events, service.directory.journal] {
                    let (exit, output, _) = try await Binary.run(["events", path])
                    #expect(exit == .status(0))
                    // A segment whose events are delivered may be gone from the journal.
                    if path == service.directory.journal, output.isEmpty { continue }
                    let lines = output.split(separator: "\n")
                    #expect(lines.count == 1)
                    let json = try JSONDecoder().decode([String: JSON].self, from: Data(try #require(lines.first).utf8))
                    #expect(json["messageId"] == .string(id))
                    #expect(json["programid"] == .string("212312"))
                    #expect(json["eventType"] != nil)
                    #expect(json["parameters"] == .object(["n": .string("1")]))
                }
            }
        }

        /// Every series that the contract names, with the labels whose values it lists.
        static let series: [(String, [String: String])] =
            [
                ("adtrack_requests_total", [:]), ("adtrack_request_duration_seconds_bucket", [:]),
                ("adtrack_request_duration_seconds_sum", [:]), ("adtrack_request_duration_seconds_count", [:]),
                ("adtrack_l1_entries", [:]), ("adtrack_redis_commands_total", [:]),
                ("adtrack_core_data_updates_total", [:]), ("adtrack_core_data_gaps_total", [:]),
                ("adtrack_journal_appended_events_total", [:]), ("adtrack_journal_acknowledged_events_total", [:]),
                ("adtrack_journal_dropped_events_total", ["reason": "bound"]),
                ("adtrack_journal_dropped_events_total", ["reason": "corrupt"]), ("adtrack_journal_bytes", [:]),
                ("adtrack_journal_sync_seconds_bucket", [:]), ("adtrack_journal_state", [:]),
                ("adtrack_sink_records_total", [:]), ("adtrack_sink_oldest_event_age_seconds", [:]),
                ("adtrack_sink_breaker_state", [:]),
            ] + ["hit", "stale", "negative", "miss"].map { ("adtrack_l1_lookups_total", ["outcome": $0]) }

        @Test("every metric that is promised exists from the start, and no random input adds a series")
        func metrics() async throws {
            try await Service.with { service async throws in
                let text = try service.manage("/metrics")
                #expect(text["Content-Type"]?.hasPrefix("text/plain") == true)
                let before = try Metrics(text: text.text)
                for (name, labels) in Self.series {
                    #expect(before.value(name, labels: labels) != nil, "\(name) \(labels)")
                }
                for number in 0..<50 {
                    _ = try service.get("/random-\(number)")
                    _ = try service.get(
                        "/event/random-\(number)?x\(number)=\(number)",
                        headers: ["User-Agent: \(number)"]
                    )
                }
                _ = try service.get("/event/212312")
                let after = try Metrics(service)
                #expect(after.samples.count == before.samples.count)
                #expect(after.value("adtrack_requests_total", labels: ["result": "accepted"]) == 1)
                for sample in before.samples where sample.name.hasSuffix("_total") {
                    #expect((after.value(sample.name, labels: sample.labels) ?? -1) >= sample.value, "\(sample.name)")
                }
            }
        }

        @Test("the management port answers nothing that is the public port's, nor the other way round")
        func ports() async throws {
            try await Service.with { service async throws in
                #expect(try service.manage("/event/212312").status == 404)
                #expect(try service.manage("/health/ready").status == 200)
                #expect(try service.get("/ledger").status == 404)
                #expect(try service.get("/metrics").status == 404)
            }
        }

        @Test("the ledger counts each request once, in the row of its answer")
        func ledger() async throws {
            try await AnswerTests.withPrograms { service async throws in
                for target in [
                    "/event/plain", "/event/plain", "/event/nobody", "/event/off", "/event/not!valid", "/nothing",
                ] {
                    _ = try service.get(target)
                }
                let ledger = try Ledger(service)
                #expect(ledger.received == 5)
                #expect(ledger.accepted == 2)
                #expect(ledger.rejected["program_not_found"] == 1)
                #expect(ledger.rejected["program_inactive"] == 1)
                #expect(ledger.rejected["bad_request"] == 1)
                #expect(ledger.appended == 2)
                #expect(ledger.balances)
            }
        }

        @Test(
            "the books balance at every look, also under load, and agree with generator, metrics and files at the end"
        )
        func books() async throws {
            try await Service.with { service async throws in
                let arguments = [
                    "load", service.url, "--rate", "2000", "--duration", "4s", "--unknown", "10%", "--invalid", "5%",
                ]
                let load = try service.directory.run(Binary.path(), arguments + ["--json", "--quiet"])
                var received = 0.0
                var looks = 0
                while load.isRunning {
                    let ledger = try Ledger(service)
                    #expect(ledger.balances, "\(ledger)")
                    #expect(ledger.received >= received)
                    received = ledger.received
                    looks += 1
                    _ = await eventually(within: .milliseconds(20)) { !load.isRunning }
                }
                #expect(try await load.exit() == .status(0))
                #expect(looks > 20)
                let summary = try JSONDecoder().decode([String: JSON].self, from: Data(load.output.utf8))
                #expect(summary["errors"] == .number(0))
                let ledger = try Ledger(service)
                #expect(summary["sent"] == .number(ledger.received))
                #expect(summary["accepted"] == .number(ledger.accepted))
                let status = try #require(summary["status"]?.object)
                #expect(status["404"] == .number(ledger.rejected["program_not_found"] ?? 0))
                #expect(status["400"] == .number(ledger.rejected["bad_request"] ?? 0))
                let metrics = try Metrics(service)
                #expect(metrics.value("adtrack_requests_total", labels: ["result": "accepted"]) == ledger.accepted)
                #expect(try await service.stop() == .status(0))
                let ids = try EventFiles.ids(service.directory.events)
                #expect(Double(ids.count) == ledger.accepted)
                #expect(Set(ids).count == ids.count)
            }
        }
    }
}

/// One look at `/ledger`.
struct Ledger {
    let received: Double
    let accepted: Double
    let rejected: [String: Double]
    let unavailable: Double
    let shed: Double
    let appended: Double
    let acknowledged: Double
    let pending: Double
    let dropped: Double

    init(_ service: Service) throws {
        let json = try service.manage("/ledger").json
        func number(_ object: [String: JSON], _ name: String) throws -> Double {
            guard let number = object[name]?.number else {
                throw ServiceFailure("the ledger has no number \(name): \(object)")
            }
            return number
        }
        received = try number(json, "received")
        accepted = try number(json, "accepted")
        unavailable = try number(json, "unavailable")
        shed = try number(json, "shed")
        rejected = try #require(json["rejected"]?.object).compactMapValues(\.number)
        let journal = try #require(json["journal"]?.object)
        appended = try number(journal, "appended")
        acknowledged = try number(journal, "acknowledged")
        pending = try number(journal, "pending")
        dropped = try number(journal, "dropped")
    }

    var balances: Bool {
        received == accepted + rejected.values.reduce(0, +) + unavailable + shed
            && appended == acknowledged + pending + dropped
    }
}
