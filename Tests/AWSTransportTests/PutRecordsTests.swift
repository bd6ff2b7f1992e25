import TestSupport
import Testing

@testable import AWSTransport

/// Calls of a real client to a server of its own process, with signatures checked by botocore.
@Suite(.timeLimit(.minutes(2)))
struct PutRecordsTests {
    @Test(arguments: [1, 500])
    func aSignatureIsWhatBotocoreComputes(count: Int) async throws {
        try await withKinesis(StandIn.checkingSignatures) { standIn, client in
            let result = await client.putRecords("clicks", records(count))
            #expect(result.words == Array(repeating: "delivered", count: count))
            let ledger = try standIn.ledger()
            #expect(ledger.unique == count)
            #expect(ledger.signatures == ["right": 1])
        }
    }

    @Test
    func aSessionTokenIsSignedAndABodyOfNearlyTwoMegabytesToo() async throws {
        var credentials = AWSCredentials.right
        credentials.sessionToken = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJGMEQ=="
        let arguments = StandIn.checkingSignatures + ["--session-token", credentials.sessionToken ?? ""]
        try await withKinesis(arguments, credentials: credentials) { standIn, client in
            #expect(await client.putRecords("clicks", records(1)).words == ["delivered"])
            let large = await client.putRecords("clicks", records(14, bytes: 100_000))
            #expect(large.words == Array(repeating: "delivered", count: 14))
            let ledger = try standIn.ledger()
            #expect(ledger.signatures == ["right": 2])
        }
    }

    @Test(arguments: ["cn-north-1", "us-gov-west-1", "eu-central-1"])
    func theScopeNamesTheRegion(region: String) async throws {
        try await withKinesis(StandIn.checkingSignatures + ["--region", region], region: region) { standIn, client in
            #expect(await client.putRecords("clicks", records(1)).words == ["delivered"])
            let ledger = try standIn.ledger()
            #expect(ledger.signatures == ["right": 1])
        }
        // Another one's signature is none.
        try await withKinesis(StandIn.checkingSignatures + ["--region", region]) { standIn, client in
            #expect(await client.putRecords("clicks", records(1)).refusal?.kind == .credentials)
            let ledger = try standIn.ledger()
            #expect(ledger.stored == 0)
        }
    }

    @Test
    func textThatIsNotASCIIIsSignedAsItIsSent() async throws {
        try await withKinesis(StandIn.checkingSignatures) { standIn, client in
            var body = PutRecordsBody()
            let keys = ["Ärger \"zitiert\" \\ \u{1}\n", "日本語🎯", "\u{7f}"]
            for key in keys { #expect(body.append(Array(key.utf8), key) == .fitted) }
            #expect(await client.putRecords("Ströme-日本", body).words == ["delivered", "delivered", "delivered"])
            let stored = try standIn.ledger(withKeys: true).keys ?? [:]
            #expect(Set(stored.keys) == Set(keys))
        }
    }

    @Test
    func aWrongSecretIsRefusedAndNothingIsStored() async throws {
        var credentials = AWSCredentials.right
        credentials.secretAccessKey += "x"
        try await withKinesis(StandIn.checkingSignatures, credentials: credentials) { standIn, client in
            let result = await client.putRecords("clicks", records(1))
            #expect(result.refusal?.kind == .credentials)
            let ledger = try standIn.ledger()
            #expect(ledger.stored == 0)
        }
    }

    @Test
    func connectionsAreUsedAgain() async throws {
        try await withKinesis { standIn, client in
            for round in 0..<20 {
                #expect(await client.putRecords("clicks", records(1, prefix: "\(round)")).words == ["delivered"])
            }
            // One for the calls, one for this question.
            let ledger = try standIn.ledger()
            #expect(ledger.connections == 2)
        }
    }
}
