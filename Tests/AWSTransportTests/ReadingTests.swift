import Foundation
import TestSupport
import Testing

@testable import AWSTransport

/// Reading a stream, and the services as moto has them.
@Suite(.timeLimit(.minutes(2)))
struct ReadingTests {
    @Test
    func shardsAreListedOverSeveralPagesAndTheMapAgreesWithTheServer() async throws {
        try await withKinesis(["--shards", "7", "--page", "3"]) { standIn, client in
            let shards = try await client.listShards("clicks")
            #expect(shards.count == 7)
            #expect(shards.first?.hashKeys.lowerBound == 0)
            #expect(shards.last?.hashKeys.upperBound == .max)
            #expect(zip(shards, shards.dropFirst()).allSatisfy { $0.hashKeys.upperBound + 1 == $1.hashKeys.lowerBound })
            let map = ShardMap(shards.reversed())
            guard case .records(let outcomes) = await client.putRecords("clicks", records(500)) else {
                Issue.record("not delivered")
                return
            }
            for (index, outcome) in outcomes.enumerated() {
                guard case .delivered(let shard, _) = outcome else { continue }
                #expect(Array("key-\(index)".utf8).withUnsafeBytes { map.shardID(of: $0) } == shard)
            }
            #expect(try await client.describeStreamSummary("clicks").openShards == 7)
        }
    }

    @Test
    func aMapOfClosedOrNoShardsKnowsNothing() {
        let closed = Shard(id: "s", hashKeys: 0...UInt128.max, isOpen: false)
        #expect([1, 2, 3].withUnsafeBytes { ShardMap([closed]).shardID(of: $0) } == nil)
        #expect([1, 2, 3].withUnsafeBytes { ShardMap([]).shardID(of: $0) } == nil)
    }

    private func readAll(_ client: KinesisClient, _ stream: String, limit: Int) async throws -> [KinesisRecord] {
        var found: [KinesisRecord] = []
        for shard in try await client.listShards(stream) {
            var iterator = try await client.getShardIterator(stream, shard: shard.id, from: .oldest)
            while true {
                let page = try await client.getRecords(iterator, limit: limit)
                found += page.records
                guard let next = page.nextIterator, !page.records.isEmpty else { break }
                iterator = next
            }
        }
        return found
    }

    @Test
    func whatWasPutIsRead() async throws {
        try await withKinesis { standIn, client in
            #expect(await client.putRecords("clicks", records(500)).words.count == 500)
            let found = try await self.readAll(client, "clicks", limit: 70)
            #expect(Set(found.map(\.partitionKey)).count == 500)
            #expect(found.allSatisfy { $0.data.count == 100 && $0.sequenceNumber.count == 56 && $0.arrival > 1e9 })
            let third = try #require(found.dropFirst(2).first)
            let shard = try await client.listShards("clicks")[0].id
            let at = try await client.getShardIterator(
                "clicks",
                shard: shard,
                from: .at(sequenceNumber: third.sequenceNumber)
            )
            #expect(try await client.getRecords(at, limit: 1).records == [third])
            let after = try await client.getShardIterator(
                "clicks",
                shard: shard,
                from: .after(sequenceNumber: third.sequenceNumber)
            )
            #expect(try await client.getRecords(after, limit: 1).records == [found[3]])
            let newest = try await client.getShardIterator("clicks", shard: shard, from: .newest)
            #expect(try await client.getRecords(newest).records.isEmpty)
            let since = try await client.getShardIterator("clicks", shard: shard, from: .time(third.arrival - 60))
            #expect(try await client.getRecords(since, limit: 1).records == [found[0]])
        }
    }

    @Test
    func aCallThatIsRefusedOrUnreadableSaysWhich() async throws {
        try await withKinesis { standIn, client in
            let refused = await #expect(throws: AWSCallFailure.self) { try await client.getRecords("nonsense") }
            guard case .refused(let error) = refused else {
                Issue.record("\(String(describing: refused))")
                return
            }
            #expect(error.code == "InvalidArgumentException")
            try standIn.inject(#"{"kind": "html", "operation": "ListShards"}"#)
            let unreadable = await #expect(throws: AWSCallFailure.self) { try await client.listShards("clicks") }
            #expect(unreadable == .unreadable(status: 503))
        }
    }

    private func withMoto<Outcome>(
        _ arguments: [String],
        credentials: AWSCredentials? = nil,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (KinesisClient, DynamoDBClient) async throws -> Outcome
    ) async throws -> Outcome {
        try await StandIn.with("moto_single", arguments) { moto in
            var identity = credentials ?? .right
            if moto.words.count == 2 {
                identity.accessKeyID = moto.words[0]
                if credentials == nil { identity.secretAccessKey = moto.words[1] }
            }
            return try await withTransport { transport in
                let held = Credentials(identity, logger: .silent)
                let client = { (service: AWSEndpoint.Service) in
                    let endpoint = try AWSEndpoint(
                        service,
                        region: "us-east-1",
                        endpoint: moto.url,
                        environment: .init([:])
                    )
                    return AWSClient(endpoint, transport, held, logger: .silent)
                }
                return try await body(KinesisClient(client(.kinesis)), DynamoDBClient(client(.dynamodb)))
            }
        }
    }

    private func create(_ client: KinesisClient) async -> Int? {
        await client.call("CreateStream", RequestBody(#"{"StreamName":"clicks","ShardCount":3}"#.utf8)).response?.status
    }

    @Test
    func motoTakesRecordsAndGivesThemBack() async throws {
        try await self.withMoto([]) { kinesis, _ in
            #expect(await self.create(kinesis) == 200)
            let result = await kinesis.putRecords("clicks", records(500))
            #expect(result.words == Array(repeating: "delivered", count: 500))
            let found = try await self.readAll(kinesis, "clicks", limit: 200)
            #expect(Set(found.map(\.partitionKey)).count == 500)
            #expect(try await kinesis.describeStreamSummary("clicks").status == "ACTIVE")
            #expect(await kinesis.putRecords("absent", records(1)).refusal?.kind == .missing)
        }
    }

    @Test
    func motoVerifiesSignaturesOfBothServices() async throws {
        try await self.withMoto(["--check-signatures"]) { kinesis, dynamo in
            #expect(await self.create(kinesis) == 200)
            #expect(await kinesis.putRecords("clicks", records(500)).words.count == 500)
            let table = #"""
                {"TableName":"events","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
                 "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}
                """#
            #expect(await dynamo.call("CreateTable", RequestBody(table.utf8)).response?.status == 200)
            let item =
                #"{"TableName":"events","Item":{"id":{"S":"é-1"}},"ConditionExpression":"attribute_not_exists(id)"}"#
            #expect(await dynamo.call("PutItem", RequestBody(item.utf8)).response?.status == 200)
            let again = try #require(await dynamo.call("PutItem", RequestBody(item.utf8)).response)
            #expect(AWSError(again)?.code == "ConditionalCheckFailedException")
            let denied = await kinesis.call("DeleteStream", RequestBody(#"{"StreamName":"clicks"}"#.utf8)).response
            #expect(denied.flatMap { AWSError($0) }?.kind == .denied)
        }
    }

    @Test
    func motoRefusesAWrongSecret() async throws {
        try await self.withMoto(["--check-signatures"], credentials: .right) { kinesis, _ in
            #expect(await kinesis.putRecords("clicks", records(1)).refusal?.kind == .credentials)
        }
    }
}
