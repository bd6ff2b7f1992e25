import Foundation
import TestSupport
import Testing

@testable import AWSTransport

/// Aggregated records, read back by AWS' own library for Python.
struct AggregatedRecordTests {
    private func append(_ data: [UInt8], _ key: String, to record: inout AggregatedRecord) -> Bool {
        data.withUnsafeBytes { data in Array(key.utf8).withUnsafeBytes { record.append(data: data, key: $0) } }
    }

    /// What the library gives for a record of Lambda's form: one line of key, explicit hash key and data for each.
    private func deaggregated(_ record: AggregatedRecord) throws -> [[String]] {
        let program = """
            import base64, json, sys
            from aws_kinesis_agg.deaggregator import deaggregate_records
            data, key = sys.stdin.read().split()
            record = {"kinesis": {"kinesisSchemaVersion": "1.0", "data": data, "partitionKey": key,
                "sequenceNumber": "1", "approximateArrivalTimestamp": 0}}
            for r in deaggregate_records([record]):
                k = r["kinesis"]
                print(k["partitionKey"], k.get("explicitHashKey"), k["data"].decode() or "-", k.get("subSequenceNumber"))
            """
        let input =
            Data(record.finish()).base64EncodedString() + "\n" + String(decoding: record.partitionKey, as: UTF8.self)
        let output = try Command.run(StandIn.python, ["-c", program], input: Data(input.utf8))
        return output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    }

    @Test
    func awsLibraryReadsEveryRecordInOrder() throws {
        var record = AggregatedRecord()
        let data = (0..<300).map { index in (0..<index % 150).map { UInt8(truncatingIfNeeded: $0 &* index) } }
        for (index, data) in data.enumerated() { #expect(self.append(data, "key-\(index)", to: &record)) }
        #expect(record.count == 300)
        #expect(record.finish().count + record.partitionKey.count == record.bytes)
        let lines = try self.deaggregated(record)
        let hash = String(Array("key-0".utf8).withUnsafeBytes { MD5.number($0) })
        #expect(lines.count == 300)
        for (index, line) in lines.enumerated() {
            let text = data[index].isEmpty ? "-" : Data(data[index]).base64EncodedString()
            #expect(line == ["key-\(index)", hash, text, "\(index)"])
        }
    }

    @Test
    func theBoundIsKept() throws {
        var record = AggregatedRecord(maximumBytes: 1_000)
        var count = 0
        while self.append([UInt8](repeating: 7, count: 50), "key-\(count)", to: &record) { count += 1 }
        #expect((10...16).contains(count))
        #expect(record.count == count)
        #expect(record.bytes <= 1_000)
        #expect(try self.deaggregated(record).count == count)
    }

    @Test
    func aFirstRecordIsAlwaysTaken() {
        var record = AggregatedRecord(maximumBytes: 10)
        #expect(self.append([UInt8](repeating: 7, count: 50), "k", to: &record))
        #expect(!self.append([], "k", to: &record))
        #expect(record.count == 1)
    }
}
