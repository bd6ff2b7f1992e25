public import AWSTransport
import FoundationEssentials
import StreamSource
import TrackingModel

/// The calls that a table of events needs (Amazon DynamoDB API Reference, 2012-08-10).
public struct DynamoDBCalls: Sendable {
    /// An attribute's value as this project writes them.
    enum Value: Sendable, Equatable {
        case text(String)
        case number(Int64)
        case boolean(Bool)
        case map([String: String])

        var json: [UInt8] {
            var json = JSONText()
            json.beginObject()
            switch self {
            case .text(let text): json.field("S", text)
            case .number(let number): json.field("N", String(number))
            case .boolean(let boolean): json.field("BOOL", boolean)
            case .map(let texts):
                json.key("M")
                json.beginObject()
                for (name, text) in texts.sorted(by: { $0.key < $1.key }) {
                    json.field(name, raw: Value.text(text).json)
                }
                json.endObject()
            }
            json.endObject()
            return json.bytes
        }
    }

    typealias Item = [(name: String, value: Value)]

    /// Why a call has no successful answer.
    enum Fault: Error, CustomStringConvertible {
        case refused(AWSError)
        case failed(TransportFailure)
        /// An answer that is none of AWS'.
        case unreadable(status: Int)

        var code: String? { if case .refused(let error) = self { error.code } else { nil } }

        var description: String {
            switch self {
            case .refused(let error): error.description
            case .failed(let failure): failure.description
            case .unreadable(let status): "an answer with status \(status) can't be read"
            }
        }
    }

    private let client: DynamoDBClient

    public init(_ client: DynamoDBClient) { self.client = client }

    /// - Returns: the body of a successful answer.
    func ask(_ operation: String, _ body: JSONText) async throws(Fault) -> [UInt8] {
        switch await self.client.call(operation, RequestBody(body.bytes)) {
        case .failed(let failure): throw .failed(failure)
        case .answered(let response) where response.status == 200: return response.body
        case .answered(let response):
            guard let error = AWSError(response) else { throw .unreadable(status: response.status) }
            throw .refused(error)
        }
    }

    func ask<Answer: Decodable>(
        _ operation: String,
        _ body: JSONText,
        as: Answer.Type
    ) async throws(StreamFailure) -> Answer {
        do throws(Fault) {
            let bytes = try await self.ask(operation, body)
            do { return try JSONDecoder().decode(Answer.self, from: Data(bytes)) } catch {
                throw Fault.unreadable(status: 200)
            }
        } catch {
            throw StreamFailure("dynamodb: \(operation): \(error)")
        }
    }

    /// Makes a table with the key `id` where there is none, and waits at most a minute until it can be used.
    func createTable(_ table: String) async throws(StreamFailure) {
        var body = JSONText()
        body.beginObject()
        body.field("TableName", table)
        body.field("BillingMode", "PAY_PER_REQUEST")
        body.field("AttributeDefinitions", raw: Array(#"[{"AttributeName":"id","AttributeType":"S"}]"#.utf8))
        body.field("KeySchema", raw: Array(#"[{"AttributeName":"id","KeyType":"HASH"}]"#.utf8))
        body.endObject()
        do throws(Fault) {
            _ = try await self.ask("CreateTable", body)
        } catch {
            guard error.code == "ResourceInUseException" else { throw StreamFailure("dynamodb: CreateTable: \(error)") }
        }
        for _ in 0..<120 {
            if try await self.isActive(table) { return }
            try? await Task.sleep(for: .milliseconds(500))
        }
        throw StreamFailure("dynamodb: the table \(table) is not active after a minute")
    }

    private func isActive(_ table: String) async throws(StreamFailure) -> Bool {
        struct Answer: Decodable {
            struct Table: Decodable {
                var status: String
                enum CodingKeys: String, CodingKey { case status = "TableStatus" }
            }
            var table: Table
            enum CodingKeys: String, CodingKey { case table = "Table" }
        }
        var body = JSONText()
        body.beginObject()
        body.field("TableName", table)
        body.endObject()
        return try await self.ask("DescribeTable", body, as: Answer.self).table.status == "ACTIVE"
    }

    /// Page after page of a table, each item as its attributes' texts.
    func scan(
        _ table: String,
        attributes: [String],
        isConsistent: Bool = false,
        _ body: ([String: String]) -> Void
    ) async throws(StreamFailure) {
        var from: [String: ReadValue]?
        repeat {
            var request = JSONText()
            request.beginObject()
            request.field("TableName", table)
            if isConsistent { request.field("ConsistentRead", true) }
            request.field("ProjectionExpression", attributes.indices.map { "#a\($0)" }.joined(separator: ","))
            request.key("ExpressionAttributeNames")
            request.beginObject()
            for (index, name) in attributes.enumerated() { request.field("#a\(index)", name) }
            request.endObject()
            if let from {
                request.key("ExclusiveStartKey")
                request.beginObject()
                for (name, value) in from { request.field(name, raw: Value.text(value.text).json) }
                request.endObject()
            }
            request.endObject()
            let page = try await self.ask("Scan", request, as: ScanAnswer.self)
            for item in page.items { body(item.mapValues(\.text)) }
            from = page.lastKey
        } while from != nil
    }

    private struct ScanAnswer: Decodable {
        var items: [[String: ReadValue]]
        var lastKey: [String: ReadValue]?
        enum CodingKeys: String, CodingKey {
            case items = "Items"
            case lastKey = "LastEvaluatedKey"
        }
    }

    /// A text or a number; anything else is empty.
    private struct ReadValue: Decodable {
        var string: String?
        var number: String?
        var text: String { self.string ?? self.number ?? "" }
        enum CodingKeys: String, CodingKey {
            case string = "S"
            case number = "N"
        }
    }
}

extension JSONText {
    /// The members of an item.
    mutating func item(_ item: DynamoDBCalls.Item) {
        self.beginObject()
        for (name, value) in item { self.field(name, raw: value.json) }
        self.endObject()
    }
}
