import Foundation
import TestSupport
import Testing
import TrackingModel

extension Integration {
    /// From the public port to Kinesis: the project's own stand-in, which can fail, and moto, which cannot but is not ours.
    @Suite("A Kinesis sink")
    struct KinesisSinkTests {
        private static let name = "kinesis:events"

        @Test("while 30 % of the entries fail by both documented codes, what is stored is what was accepted, each once")
        func partialFailures() async throws {
            try await StandIn.with("kinesis") { standIn async throws in
                try standIn.inject(#"{"kind": "mixed-records", "probability": 0.3, "seed": 11, "times": 0}"#)
                try await TestDirectory.with { directory async throws in
                    let service = try await Service.start(
                        sinks: ["\(Self.name)?region=us-east-1&endpoint=\(standIn.url)"],
                        in: directory,
                        environment: ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"]
                    )
                    let load = try await service.load(rate: 1_000, seconds: 5)
                    #expect(load.allWereAccepted)
                    #expect(try await eventually(within: .seconds(30)) { try Ledger(service).pending == 0 })
                    let books = try Ledger(service)
                    #expect(books.balances)
                    #expect(try service.delivered(Self.name) == books.accepted)
                    let stored = try standIn.ledger()
                    #expect(Double(stored.stored) == books.accepted && stored.unique == stored.stored)
                    #expect(stored.sentAgainAfterAnswer == 0)
                    // A third of what was sent failed: each event was sent 1 / 0.7 times.
                    #expect(stored.throttled > 300 && stored.failed > 300)
                    #expect(try await service.stop() == .status(0))
                }
            }
        }

        @Test(
            "moto verifies the signatures, and AWS' client reads every event, one by one or aggregated",
            arguments: [false, true]
        )
        func moto(_ isAggregated: Bool) async throws {
            try await StandIn.with("moto_single", ["--check-signatures"]) { moto async throws in
                try #require(moto.words.count == 2)
                let identity = [
                    "AWS_ACCESS_KEY_ID": moto.words[0], "AWS_SECRET_ACCESS_KEY": moto.words[1],
                    // The endpoint, as AWS' own tools are told.
                    "AWS_ENDPOINT_URL_KINESIS": moto.url,
                ]
                _ = try await Self.client(moto, identity, "create", "events", "2")
                try await TestDirectory.with { directory async throws in
                    let sink = "\(Self.name)?region=us-east-1" + (isAggregated ? "&aggregation=kpl" : "")
                    let service = try await Service.start(sinks: [sink], in: directory, environment: identity)
                    var ids: Set<String> = []
                    for _ in 0..<200 { ids.insert(try #require(service.get("/event/212312").json["messageId"]?.text)) }
                    #expect(try await eventually(within: .seconds(20)) { try service.delivered(Self.name) == 200 })
                    #expect(try await service.stop() == .status(0))
                    let events = try await Self.client(moto, identity, "read", "events").map { line in
                        let parts = line.split(separator: " ")
                        let data = try #require(parts.last.flatMap { Data(base64Encoded: String($0)) })
                        let event = try EventFiles.event([UInt8](data))
                        #expect(event.messageID == parts[0])
                        return event
                    }
                    #expect(events.count == 200 && Set(events.map(\.messageID)) == ids)
                    #expect(events.allSatisfy { $0.programid == "212312" })
                }
            }
        }

        /// The lines that AWS' client for Python prints.
        private static func client(
            _ moto: StandIn,
            _ identity: [String: String],
            _ arguments: String...
        ) async throws -> [Substring] {
            let client = try ServiceProcess(
                StandIn.python,
                [StandIn.path("kinesis_client"), moto.url] + arguments,
                environment: identity
            )
            guard try await client.exit() == .status(0) else { throw ServiceFailure(client.log) }
            return client.output.split(separator: "\n")
        }
    }
}
