public import StreamSource
import TrackingModel

/// Positions and leases in a table with the key `id`: an item for each part of each source.
public struct DynamoDBLeases: LeaseStore {
    private let calls: DynamoDBCalls
    private let table: String

    init(_ calls: DynamoDBCalls, table: String) {
        self.calls = calls
        self.table = table
    }

    public func positions(of source: String) async throws -> [String: String] {
        var positions: [String: String] = [:]
        try await self.items(of: source) { item in
            if let part = item["part"], let position = item["position"] { positions[part] = position }
        }
        return positions
    }

    public func leases(of source: String) async throws(StreamFailure) -> [Lease] {
        var leases: [Lease] = []
        try await self.items(of: source) { item in
            guard let part = item["part"], let counter = item["counter"].flatMap({ Int64($0) }) else { return }
            leases.append(Lease(part: part, owner: item["owner"] ?? "", counter: counter))
        }
        return leases
    }

    public func replace(_ old: Lease, by new: Lease, of source: String) async throws(StreamFailure) -> Bool {
        var values: DynamoDBCalls.Item = [(":owner", .text(new.owner)), (":counter", .number(new.counter))]
        if old.counter > 0 { values.append((":old", .number(old.counter))) }
        return try await self.update(
            source,
            old.part,
            "SET #owner = :owner, #counter = :counter, #source = :source, #part = :part",
            names: ["owner", "counter"],
            values: values,
            condition: old.counter > 0 ? "#counter = :old" : "attribute_not_exists(#counter)"
        )
    }

    func keep(_ checkpoints: [Checkpoint]) async throws(StreamFailure) {
        for checkpoint in checkpoints {
            let change = checkpoint.position == nil ? "REMOVE #position" : "SET #position = :position,"
            let isSet = checkpoint.position != nil
            _ = try await self.update(
                checkpoint.source,
                checkpoint.part,
                isSet ? change + " #source = :source, #part = :part" : "SET #source = :source, #part = :part " + change,
                names: ["position"],
                values: checkpoint.position.map { [(":position", .text($0))] } ?? [],
                condition: nil
            )
        }
    }

    /// - Returns: false where the condition did not hold.
    private func update(
        _ source: String,
        _ part: String,
        _ expression: String,
        names: [String],
        values: DynamoDBCalls.Item,
        condition: String?
    ) async throws(StreamFailure) -> Bool {
        var body = JSONText()
        body.beginObject()
        body.field("TableName", self.table)
        body.key("Key")
        body.item([("id", .text(source + "|" + part))])
        body.field("UpdateExpression", expression)
        body.key("ExpressionAttributeNames")
        body.beginObject()
        for name in names + ["source", "part"] { body.field("#" + name, name) }
        body.endObject()
        body.key("ExpressionAttributeValues")
        body.item(values + [(":source", .text(source)), (":part", .text(part))])
        if let condition { body.field("ConditionExpression", condition) }
        body.endObject()
        do throws(DynamoDBCalls.Fault) {
            _ = try await self.calls.ask("UpdateItem", body)
            return true
        } catch {
            if error.code == "ConditionalCheckFailedException" { return false }
            throw StreamFailure("dynamodb:\(self.table): \(error)")
        }
    }

    private func items(of source: String, _ body: ([String: String]) -> Void) async throws(StreamFailure) {
        let attributes = ["id", "source", "part", "owner", "counter", "position"]
        try await self.calls.scan(self.table, attributes: attributes, isConsistent: true) { item in
            if item["source"] == source { body(item) }
        }
    }
}
