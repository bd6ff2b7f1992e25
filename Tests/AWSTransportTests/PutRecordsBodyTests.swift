import Foundation
import Testing

@testable import AWSTransport

/// The bounds of the API, and the bytes of the body.
struct PutRecordsBodyTests {
    private func json(_ body: consuming PutRecordsBody, stream: String = "s") throws -> [String: Any] {
        let sealed = body.seal(stream: stream)
        return try #require(try JSONSerialization.jsonObject(with: Data(sealed.body.bytes)) as? [String: Any])
    }

    @Test
    func theDocumentHoldsTheRecordsAndTheStream() throws {
        var body = PutRecordsBody()
        let keys = ["plain", "quote\" back\\ line\n nul\0 del\u{7f}", "日本語🎯", "é"]
        let data = (0..<4).map { count in [UInt8]((0..<UInt8(count)).map { 250 &+ $0 }) }
        for (key, data) in zip(keys, data) { #expect(body.append(data, key) == .fitted) }
        #expect(body.count == 4)
        #expect(body.bytes == 6 + keys.reduce(0) { $0 + $1.utf8.count })
        let document = try self.json(body, stream: "my\"stream")
        #expect(document["StreamName"] as? String == "my\"stream")
        let records = try #require(document["Records"] as? [[String: String]])
        #expect(records.map { $0["PartitionKey"] } == keys)
        #expect(records.map { Data(base64Encoded: $0["Data"] ?? "?").map { Array($0) } } == data)
    }

    @Test
    func anARNIsNamedAsSuch() throws {
        let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks"
        let document = try self.json(records(1), stream: arn)
        #expect(document["StreamARN"] as? String == arn)
        #expect(document["StreamName"] == nil)
    }

    @Test
    func fiveHundredRecordsAreFull() {
        var body = records(499)
        #expect(body.append([1], "k") == .fitted)
        #expect(body.append([1], "k") == .full)
        #expect(body.count == 500)
    }

    @Test
    func fiveMebibytesOfDataAndKeysAreFull() {
        var body = PutRecordsBody()
        let data = [UInt8](repeating: 1, count: 1024 * 1024 - 4)
        for _ in 0..<5 { #expect(body.append(data, "four") == .fitted) }
        #expect(body.bytes == 5 * 1024 * 1024)
        #expect(body.append([], "k") == .full)
    }

    @Test
    func aRecordOverOneMebibyteNeverFits() {
        var body = PutRecordsBody()
        let data = [UInt8](repeating: 1, count: 1024 * 1024 - 3)
        #expect(body.append(data, "four") == .never(.recordTooLarge))
        #expect(body.append(data, "123") == .fitted)
        #expect(body.count == 1)
    }

    @Test
    func theBoundsCanBeRaised() {
        var limits = PutRecordsBody.Limits()
        limits.recordBytes = 10 * 1024 * 1024
        limits.bytes = 10 * 1024 * 1024
        var body = PutRecordsBody(limits: limits)
        #expect(body.append([UInt8](repeating: 1, count: 6 * 1024 * 1024), "k") == .fitted)
        #expect(body.append([UInt8](repeating: 1, count: 6 * 1024 * 1024), "k") == .full)
    }

    @Test
    func aKeyHasOneToTwoHundredAndFiftySixCharactersOfUTF8() {
        var body = PutRecordsBody()
        #expect(body.append([1], "") == .never(.keyEmpty))
        #expect(body.append([1], String(repeating: "k", count: 256)) == .fitted)
        #expect(body.append([1], String(repeating: "k", count: 257)) == .never(.keyTooLong))
        #expect(body.append([1], String(repeating: "語", count: 256)) == .fitted)
        #expect(body.append([1], String(repeating: "語", count: 257)) == .never(.keyTooLong))
        let broken: [UInt8] = [0x61, 0xff]
        let fit = broken.withUnsafeBytes { body.append(data: $0, key: $0) }
        #expect(fit == .never(.keyNotUTF8))
        #expect(body.count == 2)
    }

    @Test
    func base64IsThatOfFoundationForEveryLength() {
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255) }
            var encoded = [UInt8](repeating: 0, count: Base64.encodedCount(count))
            encoded.withUnsafeMutableBytes { target in
                if let place = target.baseAddress { bytes.withUnsafeBytes { Base64.encode($0, into: place) } }
            }
            #expect(String(decoding: encoded, as: UTF8.self) == Data(bytes).base64EncodedString())
            #expect(Base64.decode(encoded) == bytes)
        }
    }

    @Test(arguments: ["A", "AA", "AAA", "A===", "AAA!", "====", "AB==", "AAB=", "AA=A", " AAA", "AA\n="])
    func whatNobodyEncodesIsNotDecoded(text: String) {
        #expect(Base64.decode(Array(text.utf8)) == nil)
    }
}
