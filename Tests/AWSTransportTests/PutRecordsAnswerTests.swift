import Foundation
import Testing

@testable import AWSTransport

/// The reader of answers: strict, and never surprised.
struct PutRecordsAnswerTests {
    private func read(_ text: String, expected: Int) -> PutRecordsResult {
        PutRecordsAnswer.read(Array(text.utf8), expected: expected)
    }

    private static let good =
        #"{"SequenceNumber":"49590338271490256608559692538361571095921575989136588898","ShardId":"s-0"}"#

    @Test
    func aRealAnswerIsRead() {
        let text = #"""
             {"EncryptionType": "KMS", "FailedRecordCount" : 2, "New": [{"a": [null, 1.5e3, true]}],
              "Records": [\#(Self.good), {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate \"exceeded\" \u00e9 \ud83c\udfaf"},
              {"ErrorCode":"InternalFailure","ErrorMessage":null,"SequenceNumber":null,"ShardId":null}]}
            """#
        guard case .records(let outcomes) = self.read(text, expected: 3) else {
            Issue.record("not read")
            return
        }
        let number = "49590338271490256608559692538361571095921575989136588898"
        #expect(
            outcomes == [
                .delivered(shardID: "s-0", sequenceNumber: number), .throttled, .failed(code: "InternalFailure"),
            ]
        )
    }

    @Test(arguments: [
        "", "null", "[]", "{}", #"{"Records":null}"#, #"{"Records":[]"#, #"{"Records":[{}]}"#,
        #"{"Records":[{"SequenceNumber":"1"}]}"#, #"{"Records":[{"ShardId":"1"}]}"#,
        #"{"Records":[{"ShardId":"","SequenceNumber":"1"}]}"#, #"{"Records":[{"ShardId":1,"SequenceNumber":"1"}]}"#,
        #"{"Records":[{"ShardId":"1","SequenceNumber":"1","ErrorCode":"InternalFailure"}]}"#,
        #"{"Records":[{"ShardId":"1","ShardId":"1","SequenceNumber":"1"}]}"#,
        #"{"Records":[{"ShardId":"1","SequenceNumber":"1"}],"Records":[]}"#,
        #"{"Records":[{"ShardId":"1","SequenceNumber":"1"}]} x"#,
        #"{"Records":[{"ShardId":"1","SequenceNumber":"1"},]}"#,
        #"{"FailedRecordCount":"0","Records":[{"ShardId":"1","SequenceNumber":"1"}]}"#,
        #"{"FailedRecordCount":0.5,"Records":[{"ShardId":"1","SequenceNumber":"1"}]}"#,
        #"{"FailedRecordCount":00,"Records":[{"ShardId":"1","SequenceNumber":"1"}]}"#,
        #"{"FailedRecordCount":99999999999999999999,"Records":[{"ShardId":"1","SequenceNumber":"1"}]}"#,
        "{\"Records\":[{\"ShardId\":\"\u{1}\",\"SequenceNumber\":\"1\"}]}",
        #"{"Records":[{"ShardId":"\x","SequenceNumber":"1"}]}"#,
        #"{"Records":[{"ShardId":"\ud83c","SequenceNumber":"1"}]}"#,
        #"{"Records":[{"ShardId":"\u12","SequenceNumber":"1"}]}"#, #"{'Records':[]}"#, #"{"Records":[{"ShardId":"1\"#,
    ])
    func whatIsNotTheAPIsAnswerIsUnreadable(text: String) {
        guard case .unknown(.unreadable(status: 200)) = self.read(text, expected: 1) else {
            Issue.record("\(self.read(text, expected: 1))")
            return
        }
    }

    @Test
    func deepNestingIsRefusedNotFollowed() {
        let deep = #"{"x":"# + String(repeating: "[", count: 100_000)
        guard case .unknown(.unreadable(status: 200)) = self.read(deep, expected: 1) else {
            Issue.record("read")
            return
        }
    }

    /// Whatever happens to an answer's bytes: no trap, and no more successes than it had.
    @Test
    func aDamagedAnswerNeverClaimsWhatTheWholeOneDidNot() {
        var random = SeededRandom(seed: 4_711)
        var readable = 0
        for round in 0..<20_000 {
            let (bytes, delivered) = Self.answer(&random)
            let expected = delivered.count
            let damaged = Self.damage(bytes, &random)
            guard case .records(let outcomes) = PutRecordsAnswer.read(damaged, expected: expected) else { continue }
            readable += 1
            #expect(outcomes.count == expected, "round \(round)")
            for (outcome, wasDelivered) in zip(outcomes, delivered) {
                if case .delivered = outcome, !wasDelivered { Issue.record("a success made up in round \(round)") }
            }
        }
        // Many damages only touch texts that nobody reads: the test is worth something only if some get through.
        #expect(readable > 500)
    }

    private static func answer(_ random: inout SeededRandom) -> ([UInt8], [Bool]) {
        let delivered = (0..<Int.random(in: 1...6, using: &random)).map { _ in Bool.random(using: &random) }
        let records = delivered.map {
            $0 ? Self.good : #"{"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."}"#
        }
        let failed = delivered.filter { !$0 }.count
        return (
            Array(#"{"FailedRecordCount":\#(failed),"Records":[\#(records.joined(separator: ","))]}"#.utf8), delivered
        )
    }

    /// One to three of: a byte changed, a piece cut out, doubled, or the end cut off.
    private static func damage(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            let end = min(bytes.count, place + Int.random(in: 1...20, using: &random))
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes.removeSubrange(place..<end)
            case 3: bytes.insert(contentsOf: Array(bytes[place..<end]), at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }

    /// Any text that Foundation takes for JSON is taken here, and the other way round.
    @Test
    func theReaderAgreesWithFoundationAboutWhatIsJSON() {
        var random = SeededRandom(seed: 42)
        let parts = [
            "{", "}", "[", "]", ":", ",", "\"a\"", "\"\\u00e9\"", "1", "-0", "1.5", "[1e5]", "[1E+]", "01", "true",
            "null", " ",
            "\"", "-",
        ]
        var agreed = 0
        for _ in 0..<50_000 {
            let text = (0..<Int.random(in: 1...8, using: &random)).compactMap { _ in parts.randomElement(using: &random)
            }.joined()
            var reader = JSONReader(Array(text.utf8))
            let isRead: Bool
            do {
                try reader.skip()
                try reader.end()
                isRead = true
            } catch { isRead = false }
            let isJSON = (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)) != nil
            #expect(isRead == isJSON, "\(text)")
            if isRead && isJSON { agreed += 1 }
        }
        #expect(agreed > 1_000)
    }
}

/// The same sequence in every run (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = self.state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
