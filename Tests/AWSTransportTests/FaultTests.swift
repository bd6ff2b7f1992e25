import TestSupport
import Testing

@testable import AWSTransport

/// Each way in which Kinesis, or what stands before it, can fail, and what is made of it.
@Suite(.timeLimit(.minutes(2)))
struct FaultTests {
    /// Deadlines short enough to wait for.
    private static let short: TransportConfiguration = {
        var configuration = TransportConfiguration()
        configuration.totalTimeout = 1_500
        configuration.maximumAnswerBytes = 1024 * 1024
        return configuration
    }()

    private func outcome(of fault: String, count: Int = 5) async throws -> (PutRecordsResult, StandIn.Ledger) {
        try await withKinesis(configuration: Self.short) { standIn, client in
            try standIn.inject(fault)
            let result = await client.putRecords("clicks", records(count))
            return (result, try standIn.ledger())
        }
    }

    @Test
    func onlyTheThrottledRecordsAreNotDelivered() async throws {
        let (result, ledger) = try await self.outcome(of: #"{"kind": "throttle-records", "index": [1, 3]}"#)
        #expect(result.words == ["delivered", "throttled", "delivered", "throttled", "delivered"])
        #expect(ledger.stored == 3)
    }

    @Test
    func recordsThatFailHaveTheirCode() async throws {
        let (result, ledger) = try await self.outcome(of: #"{"kind": "fail-records", "every": 2}"#)
        #expect(result.words == ["InternalFailure", "delivered", "InternalFailure", "delivered", "InternalFailure"])
        #expect(ledger.stored == 2)
    }

    @Test
    func bothCodesMayBeInOneAnswer() async throws {
        let (result, ledger) = try await self.outcome(
            of: #"{"kind": "mixed-records", "probability": 0.3, "seed": 7}"#,
            count: 500
        )
        let words = result.words
        #expect(words.count == 500)
        #expect(words.filter { $0 == "delivered" }.count == ledger.stored)
        #expect(words.filter { $0 == "throttled" }.count == ledger.throttled)
        #expect(words.filter { $0 == "InternalFailure" }.count == ledger.failed)
        #expect((100...200).contains(ledger.throttled + ledger.failed))
        #expect(min(ledger.throttled, ledger.failed) > 30)
    }

    @Test(arguments: [
        ("ProvisionedThroughputExceededException", AWSError.Kind.throttled),
        ("com.amazonaws.kinesis#LimitExceededException", .throttled),
        ("ExpiredTokenException", .credentials), ("UnrecognizedClientException", .credentials),
        ("RequestTimeTooSkewed", .clock), ("AccessDeniedException", .denied), ("ResourceNotFoundException", .missing),
        ("ValidationException", .invalid), ("SomethingNewException", .invalid),
    ])
    func aRefusedCallStoresNothing(code: String, kind: AWSError.Kind) async throws {
        let (result, ledger) = try await self.outcome(
            of: #"{"kind": "error", "times": 0, "code": "\#(code)", "message": "Why not"}"#
        )
        let error = try #require(result.refusal)
        #expect(error.kind == kind)
        #expect(error.code == code.split(separator: "#").last.map(String.init))
        #expect(error.message == "Why not")
        #expect(error.isRetryable == (kind != .invalid))
        #expect(!error.requestID.isEmpty)
        #expect(ledger.stored == 0)
    }

    @Test
    func aServerErrorSaysNothingAboutWhatIsStored() async throws {
        let (result, _) = try await self.outcome(of: #"{"kind": "error", "status": 500, "code": "InternalFailure"}"#)
        guard case .serverError(let error) = result.unknown else {
            Issue.record("\(result)")
            return
        }
        #expect(error.status == 500 && error.kind == .unavailable)
    }

    @Test(arguments: [
        (#"{"kind": "html"}"#, 503), (#"{"kind": "html", "status": 400}"#, 400),
        (#"{"kind": "html", "status": 200}"#, 200),
        (#"{"kind": "empty"}"#, 200), (#"{"kind": "not-json"}"#, 200), (#"{"kind": "not-json", "body": "{}"}"#, 200),
        (#"{"kind": "not-json", "body": "{\"Records\": [{}]}"}"#, 200), (#"{"kind": "html", "status": 302}"#, 302),
    ])
    func whatIsNoAnswerIsUnknown(fault: String, status: Int) async throws {
        let (result, _) = try await self.outcome(of: fault)
        #expect(result.unknown == .unreadable(status: status))
    }

    @Test
    func anAnswerForOtherRecordsIsUnknown() async throws {
        let (few, _) = try await self.outcome(of: #"{"kind": "too-few", "missing": 2}"#)
        #expect(few.unknown == .recordCount(expected: 5, found: 3))
        let (many, _) = try await self.outcome(of: #"{"kind": "too-many"}"#)
        #expect(many.unknown == .recordCount(expected: 5, found: 6))
        let (wrong, _) = try await self.outcome(of: #"{"kind": "wrong-count", "count": 3}"#)
        #expect(wrong.unknown == .failureCount(stated: 3, found: 0))
    }

    @Test(arguments: [
        ("cut", TransportFailure.Code.cut, 0), ("reset", .cut, 0), ("store-then-cut", .cut, 5),
        ("store-then-half", .cut, 5), ("hang", .timeout, 0), ("store-then-hang", .timeout, 5), ("drip", .timeout, 5),
        ("huge", .tooLarge, 0),
    ])
    func aConnectionThatEndsOrStallsAfterSendingIsUnknown(
        kind: String,
        code: TransportFailure.Code,
        stored: Int
    ) async throws {
        let (result, ledger) = try await self.outcome(of: #"{"kind": "\#(kind)"}"#)
        guard case .failed(let failure) = result.unknown else {
            Issue.record("\(result)")
            return
        }
        #expect(failure.code == code)
        #expect(failure.mayHaveBeenReceived)
        #expect(ledger.stored == stored)
        #expect(ledger.calls["PutRecords"] == 1)
    }

    /// libcurl would send the request again by itself where a connection that was used before ends without an answer.
    @Test
    func aRequestIsSentOnceAlsoOnAConnectionThatWasUsed() async throws {
        try await withKinesis(configuration: Self.short) { standIn, client in
            #expect(await client.putRecords("clicks", records(1, prefix: "first")).words == ["delivered"])
            try standIn.inject(#"{"kind": "store-then-cut"}"#)
            let result = await client.putRecords("clicks", records(1, prefix: "second"))
            guard case .failed(let failure) = result.unknown else {
                Issue.record("\(result)")
                return
            }
            #expect(failure.code == .cut && failure.mayHaveBeenReceived)
            let ledger = try standIn.ledger()
            #expect(ledger.calls["PutRecords"] == 2)
            #expect(ledger.stored == 2 && ledger.duplicates == 0)
        }
    }

    @Test
    func aRefusedConnectionSentNothingAndTheNextOneWorksAgain() async throws {
        try await withKinesis(configuration: Self.short) { standIn, client in
            try standIn.inject(#"{"kind": "refuse", "seconds": 2}"#)
            #expect(await client.putRecords("clicks", records(1)).words == ["unknown"])
            let refused = try #require(await client.putRecords("clicks", records(1)).notSent)
            #expect(refused.code == .unreachable && !refused.mayHaveBeenReceived)
            let isBack = await eventually { await client.putRecords("clicks", records(1)).words == ["delivered"] }
            #expect(isBack)
        }
    }

    @Test
    func aConnectionThatTheServerClosesIsReplaced() async throws {
        try await withKinesis { standIn, client in
            try standIn.inject(#"{"kind": "close", "times": 3}"#)
            for round in 0..<4 {
                #expect(await client.putRecords("clicks", records(1, prefix: "\(round)")).words == ["delivered"])
                // The stand-in does one thing after the other: when it answers this, the connection before is closed. A request
                // that meets the close would be one without an answer.
                _ = try standIn.ledger()
            }
            let ledger = try standIn.ledger()
            #expect(ledger.stored == 4 && ledger.duplicates == 0)
        }
    }

    @Test
    func aShardWithoutRoomThrottlesItsRecordsOnly() async throws {
        try await withKinesis(["--rate-limit", "50", "--shards", "2"]) { standIn, client in
            var words: [String] = []
            for round in 0..<6 { words += await client.putRecords("clicks", records(500, prefix: "\(round)")).words }
            let ledger = try standIn.ledger()
            // Two shards began with 50 records each and fill by 50 a second.
            #expect(ledger.throttled > 0 && ledger.stored >= 100)
            #expect(words.filter { $0 == "throttled" }.count == ledger.throttled)
            #expect(words.filter { $0 == "delivered" }.count == ledger.stored)
        }
    }
}
