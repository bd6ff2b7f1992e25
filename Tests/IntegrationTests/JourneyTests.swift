import Foundation
import TestSupport
import Testing

extension Integration {
    /// The whole journey: a program put into a stream is answered with, and what was answered is one row.
    @Suite("From a program to a row")
    struct JourneyTests {
        /// `ADTRACK_JOURNEY_REQUESTS` asks for more than what is quick.
        private static let requests =
            ProcessInfo.processInfo.environment["ADTRACK_JOURNEY_REQUESTS"].flatMap { Int($0) } ?? 1500
        /// The service is killed after each round but the last.
        private static let rounds = 3
        /// Those that are on their way when it is killed.
        private static let unanswered = 8

        @Test(
            "through refused entries, kills of service and consumers, throttled tables and redelivery: exactly the accepted answers, once"
        )
        func journey() async throws {
            try await Journey.with { journey async throws in
                let began = Int64(Date().timeIntervalSince1970 * 1000)
                var books = JourneyBooks()
                try self.misbehave(journey)
                for round in 0..<Self.rounds - 1 { try await self.rides(round, journey, &books) }
                // Every record comes a second time.
                try journey.stream.ask("/_again", method: "POST")
                try await self.arrives(journey, &books)
                #expect(books.answers.count >= Self.requests)
                try self.checkFaults(journey)
                let rows = try EventRows.read(journey.database).map(JourneyRow.init(row:))
                let items = try journey.cloud.items("events").map(JourneyRow.init(item:))
                let ended = Int64(Date().timeIntervalSince1970 * 1000)
                for table in [rows, items] { try books.compare(table, between: began, and: ended) }
                let byID = { (rows: [JourneyRow]) in rows.sorted { $0.messageID < $1.messageID } }
                #expect(byID(rows) == byID(items), "the tables differ in what was not answered")
            }
        }

        /// All along: a third of what the stream is given, what it is asked for now and then, and one call of the table of nine.
        private func misbehave(_ journey: Journey) throws {
            try journey.stream.inject(
                """
                [{"kind": "store-then-cut", "after": 3}, {"kind": "store-then-half", "after": 9},
                 {"kind": "mixed-records", "probability": 0.3, "seed": 11, "times": 0},
                 {"operation": "GetRecords", "kind": "cut", "after": 11, "times": 3},
                 {"operation": "GetRecords", "kind": "error", "code": "ExpiredIteratorException", "after": 29},
                 {"operation": "GetRecords", "kind": "error", "code": "ProvisionedThroughputExceededException",
                  "after": 41, "times": 4}]
                """
            )
            try journey.cloud.inject(
                """
                [{"operation": "PutItem", "kind": "throttle", "every": 9, "times": 300},
                 {"operation": "PutItem", "kind": "late-cut", "every": 211, "times": 5},
                 {"operation": "PutItem", "kind": "error", "every": 53, "times": 20}]
                """
            )
        }

        /// That all of it happened: else the journey was an easy one.
        private func checkFaults(_ journey: Journey) throws {
            let ledger = try journey.stream.ledger()
            #expect(ledger.throttled > Self.requests / 10 && ledger.failed > Self.requests / 10)
            #expect(ledger.duplicates > 0)
            #expect(ledger.signatures["right"] ?? 0 > 0 && ledger.signatures["wrong"] == nil)
        }

        /// A round in which everybody dies: each consumer when it has begun to store, the service while it is asked.
        private func rides(_ round: Int, _ journey: Journey, _ books: inout JourneyBooks) async throws {
            let service = try await journey.startService()
            var consumers = try await journey.startConsumers()
            try await self.ask(service, round, 0..<Self.requests / Self.rounds / 2, &books)
            for consumer in consumers {
                #expect(try await eventually(within: .seconds(60)) { try journey.hasBegun(consumer) })
                consumer.command.process.signal(SIGKILL)
                #expect(try await consumer.command.process.exit() == .signal(SIGKILL))
            }
            consumers = try await journey.startConsumers()
            let rest = Self.requests / Self.rounds / 2..<Self.requests / Self.rounds
            try await self.ask(service, round, rest, &books)
            try books.leave(service, round, Self.unanswered)
            for process in [service.process] + consumers.map(\.command.process) { await process.end() }
        }

        /// The last round: it ends as an operator would end it, when everything is where it should be.
        private func arrives(_ journey: Journey, _ books: inout JourneyBooks) async throws {
            let service = try await journey.startService()
            let consumers = try await journey.startConsumers()
            let left = Self.requests - (Self.rounds - 1) * (Self.requests / Self.rounds)
            try await self.ask(service, Self.rounds - 1, 0..<left, &books)
            #expect(try await eventually(within: .seconds(120)) { try Ledger(service).pending == 0 })
            #expect(try await service.stop() == .status(0))
            let isThrough = try await eventually(within: .seconds(300)) { try await journey.isThrough() }
            #expect(isThrough, "\(consumers.map(\.command.process.log))")
            for consumer in consumers.map(\.command) {
                #expect(try consumer.metric("adtrack_consume_lag_seconds") == 0)
                // The records that came again.
                let again = try consumer.metric("adtrack_consume_events_total", ["result": "duplicate"])
                #expect(again ?? 0 > 0)
                #expect(try await consumer.stop() == .status(0))
            }
            #expect(try DeadLetters.read(journey.deadLetters).isEmpty)
        }

        private func ask(
            _ service: Service,
            _ round: Int,
            _ numbers: Range<Int>,
            _ books: inout JourneyBooks
        ) async throws {
            // The programs come through a stream of their own.
            let name = "warm-\(round)-\(numbers.lowerBound)"
            try await self.insist { try books.ask(service, JourneyRequest(order: name, program: Journey.programs - 1)) }
            for number in numbers {
                // A machine with much to do makes Redis late, which is 503: the next attempt is a request of its own.
                var attempt = 0
                try await self.insist {
                    attempt += 1
                    let order = "\(round)-\(number)-\(attempt)"
                    return try books.ask(service, JourneyRequest(order: order, program: number % Journey.programs))
                }
            }
        }

        /// Again and again until it is accepted; of 1,000 attempts the last one's status counts.
        private func insist(_ attempt: () throws -> Int) async throws {
            var status = try attempt()
            for _ in 1..<1000 where status != 200 {
                try await Task.sleep(for: .milliseconds(20))
                status = try attempt()
            }
            #expect(status == 200)
        }
    }
}
