import FoundationEssentials
import StreamSource

/// What Lambda's event source mapping gives for Kinesis (AWS Lambda Developer Guide, "Using AWS Lambda with Amazon
/// Kinesis"): one shard's records in their order.
struct KinesisEvent: Sendable {
    struct Entry: Sendable {
        /// Up to 56 digits: text, no number holds them.
        var sequenceNumber: String
        /// One, or as many as the KPL put together.
        var records: [StreamRecord]
    }

    var source: String
    var entries: [Entry]

    init(_ json: [UInt8]) throws(FunctionError) {
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(json))
        } catch {
            throw FunctionError(
                "Function.InvalidEvent",
                "The event is none of Kinesis: it has no Records as those are."
            )
        }
        self.source = document.records.first?.streamARN.map { "lambda:" + $0 } ?? "lambda"
        self.entries = document.records.map(Self.entry)
    }

    private static func entry(_ record: Document.Record) -> Entry {
        let number = record.kinesis.sequenceNumber
        let shard = record.eventID?.split(separator: ":").first.map(String.init) ?? "shard"
        let origin = "\(shard)/\(number)"
        let arrived = record.kinesis.arrival.map { Int64(max(0, min($0, 1e11)) * 1000) }
        guard let data = Data(base64Encoded: record.kinesis.data) else {
            let damage = Damage(.malformed, "The record's data is no base64.")
            let bytes = Array(record.kinesis.data.utf8)
            return Entry(
                sequenceNumber: number,
                records: [StreamRecord(origin: origin, bytes: bytes, arrived: arrived, damage: damage)]
            )
        }
        let records = KinesisAggregate.parts(of: Array(data), origin: origin, arrived: arrived)
        return Entry(sequenceNumber: number, records: records)
    }

    private struct Document: Decodable {
        struct Record: Decodable {
            struct Content: Decodable {
                var sequenceNumber: String
                var data: String
                var arrival: Double?
                enum CodingKeys: String, CodingKey {
                    case sequenceNumber, data
                    case arrival = "approximateArrivalTimestamp"
                }
            }
            var kinesis: Content
            var eventID: String?
            var streamARN: String?
            enum CodingKeys: String, CodingKey {
                case kinesis, eventID
                case streamARN = "eventSourceARN"
            }
        }
        var records: [Record]
        enum CodingKeys: String, CodingKey { case records = "Records" }
    }
}
