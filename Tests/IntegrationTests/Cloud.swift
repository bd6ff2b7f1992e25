import Foundation
import TestSupport

/// Kinesis, DynamoDB and SQS of moto, which verifies every signature, and what a test does to them.
struct Cloud {
    let standIn: StandIn
    /// What a process needs to reach them.
    let environment: [String: String]

    static func with(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (Cloud) async throws -> Void
    ) async throws {
        try await StandIn.with("moto_single", ["--check-signatures"]) { standIn async throws in
            guard standIn.words.count == 2 else { throw TestFailure("no key: \(standIn.words)") }
            let environment = [
                "AWS_ENDPOINT_URL": standIn.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": standIn.words[0],
                "AWS_SECRET_ACCESS_KEY": standIn.words[1],
            ]
            try await body(Cloud(standIn: standIn, environment: environment))
        }
    }

    func makeStream(_ name: String, shards: Int = 1) throws {
        try tell("/_streams", ["stream": name, "shards": shards])
    }

    /// Their partition keys are their numbers.
    func put(_ records: [[UInt8]], into stream: String) throws {
        try tell("/_records", ["stream": stream, "records": records.map { Data($0).base64EncodedString() }])
    }

    /// As one record of the KPL.
    func putAggregated(_ records: [[UInt8]], into stream: String) throws {
        try tell("/_aggregate", ["stream": stream, "records": records.map { Data($0).base64EncodedString() }])
    }

    func split(_ shard: Int, of stream: String) throws {
        try tell("/_split", ["stream": stream, "shard": Self.shard(shard)])
    }

    func merge(_ first: Int, _ second: Int, of stream: String) throws {
        try tell("/_merge", ["stream": stream, "shards": [Self.shard(first), Self.shard(second)]])
    }

    struct Shard: Decodable {
        var id: String
        var isOpen: Bool
        var records: Int
    }

    func shards(_ stream: String) throws -> [Shard] {
        let answer = try standIn.ask("/_shards", method: "POST", #"{"stream":"\#(stream)"}"#)
        return try JSONDecoder().decode([Shard].self, from: Data(answer.utf8))
    }

    static func shard(_ number: Int) -> String { "shardId-" + String(repeating: "0", count: 11) + "\(number)" }

    /// - Parameter json: a list of faults as `moto_single.py` describes.
    func inject(_ json: String) throws { try standIn.ask("/_faults", method: "POST", json) }

    /// How often an operation was called.
    func calls(_ operation: String) throws -> Int {
        let calls = try JSONDecoder().decode(
            [String: Int].self,
            from: Data(standIn.ask("/_calls", method: "POST", "{}").utf8)
        )
        return calls[operation] ?? 0
    }

    /// - Parameter maximumBytes: of a message; nil leaves what the service allows.
    /// - Returns: its URL.
    func makeQueue(_ name: String, maximumBytes: Int? = nil) throws -> String {
        try tell("/_queues", ["queue": name, "bytes": maximumBytes ?? 1 << 20])
        return "\(standIn.url)/123456789012/\(name)"
    }

    /// The messages of a queue, each as its JSON object's texts and numbers.
    func messages(_ queue: String) throws -> [[String: String]] {
        let answer = try standIn.ask("/_messages", method: "POST", #"{"queue":"\#(queue)"}"#)
        return try JSONDecoder().decode([[String: JSON]].self, from: Data(answer.utf8)).map { message in
            message.compactMapValues { $0.text ?? $0.number.map { "\(Int($0))" } }
        }
    }

    /// A table's items, each attribute as text.
    func items(_ table: String) throws -> [[String: String]] {
        let answer = try standIn.ask("/_items", method: "POST", #"{"table":"\#(table)"}"#)
        let items = try JSONDecoder().decode([[String: [String: JSON]]].self, from: Data(answer.utf8))
        return items.map { $0.compactMapValues { Self.text($0.values.first) } }
    }

    private static func text(_ value: JSON?) -> String? {
        switch value {
        case .string(let text): text
        case .flag(let truth): "\(truth)"
        case .object(let map):
            map.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.object?.values.first?.text ?? "?")" }
                .joined(separator: ",")
        default: nil
        }
    }

    private func tell(_ target: String, _ body: [String: Any]) throws {
        let json = try JSONSerialization.data(withJSONObject: body)
        try standIn.ask(target, method: "POST", String(decoding: json, as: UTF8.self))
    }
}
