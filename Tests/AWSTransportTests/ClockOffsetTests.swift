import TestSupport
import Testing

@testable import AWSTransport

/// A machine whose clock is wrong.
@Suite(.timeLimit(.minutes(1)))
struct ClockOffsetTests {
    @Test
    func aDateOfFourMinutesOrMoreAwayCorrectsTheClock() {
        var clock = ClockOffset()
        #expect(clock.received(date: 1_239, now: 1_000, isRefusedSignature: false) == false)
        #expect(clock.seconds == 0)
        #expect(clock.received(date: 1_240, now: 1_000, isRefusedSignature: false) == true)
        #expect(clock.seconds == 240)
        #expect(clock.received(date: 2_241, now: 2_000, isRefusedSignature: false) == false)
        // The clock is set right.
        #expect(clock.received(date: 3_001, now: 3_000, isRefusedSignature: false) == true)
        #expect(clock.seconds == 0)
    }

    @Test
    func aRefusedSignatureCorrectsTheClockEarlier() {
        var clock = ClockOffset()
        #expect(clock.received(date: 1_029, now: 1_000, isRefusedSignature: true) == false)
        #expect(clock.received(date: 970, now: 1_000, isRefusedSignature: true) == true)
        #expect(clock.seconds == -30)
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("", nil), ("now", nil), ("Thu, 01 Jan 1970 00:00:00 GMT", nil),
    ])
    func aDateIsRead(text: String, seconds: Int?) {
        #expect(ClockOffset.seconds(ofHTTPDate: text) == seconds)
    }

    @Test(arguments: [
        ("2026-11-21T14:35:37Z", 1_795_271_737), ("1994-11-06T08:49:37.123Z", 784_111_777), ("2026-11-21", nil),
        ("x", nil), ("2026-11-21T14:35:37+01:00", nil),
    ])
    func anExpirationIsRead(text: String, seconds: Int?) {
        #expect(ISOTime.seconds(text) == seconds)
    }

    /// The stand-in refuses a time more than five minutes from its own, and computes the signature with botocore.
    @Test(arguments: [3_600, -86_400])
    func aRefusedCallIsSentAgainWithTheServersTime(offset: Int) async throws {
        var credentials = AWSCredentials.right
        credentials.sessionToken = "a+token/with=="
        let arguments =
            StandIn.checkingSignatures + ["--session-token", "a+token/with==", "--clock-offset", "\(offset)"]
        try await withKinesis(arguments, credentials: credentials) { standIn, client in
            for round in 0..<3 {
                let result = await client.putRecords("Ströme", records(10, bytes: 1_000, prefix: "é\(round)"))
                #expect(result.words == Array(repeating: "delivered", count: 10))
            }
            let ledger = try standIn.ledger()
            // Once to learn the time, and that one was refused before its signature was looked at.
            #expect(ledger.calls["PutRecords"] == 4)
            #expect(ledger.signatures == ["right": 3])
        }
    }
}
