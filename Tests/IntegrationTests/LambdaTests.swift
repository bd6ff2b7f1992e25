import Foundation
import TestSupport
import Testing

extension Integration {
    /// The binary as a Lambda function, fed as Lambda feeds one.
    @Suite("adtrack as a Lambda function")
    struct LambdaTests {
        private let poison: [UInt8] = [0xFF, 1]

        @Test("a batch is stored up to its lowest failed record; the same batch again changes nothing")
        func partialBatch() async throws {
            try await TestDirectory.with { directory async throws in
                let database = directory.path + "/events.sqlite"
                try await LambdaFunction.with("consume", ["ADTRACK_TO": "sqlite:\(database)"]) {
                    function async throws in
                    let good = try (0..<10).map { try eventBytes("id-\($0)") }
                    for place in [1, 5, 11] {
                        var records = good
                        records.insert(self.poison, at: place - 1)
                        let answer = try function.invoke(records)
                        #expect(answer.kind == "response")
                        #expect(answer.body == LambdaFunction.failures(at: place))
                        #expect(try Set(EventRows.ids(database)).isSuperset(of: (0..<place - 1).map { "id-\($0)" }))
                    }
                    #expect(try function.invoke(good).body == LambdaFunction.failures(at: nil))
                    #expect(try EventRows.ids(database).sorted() == (0..<10).map { "id-\($0)" })
                    #expect(try function.invoke(#"{"Records": []}"#).body == LambdaFunction.failures(at: nil))
                }
            }
        }

        @Test("with a place for dead letters poison goes there, with reason and origin, and the batch succeeds")
        func deadLetters() async throws {
            try await TestDirectory.with { directory async throws in
                let database = directory.path + "/events.sqlite"
                let environment = [
                    "ADTRACK_TO": "sqlite:\(database)", "ADTRACK_DEAD_LETTER": "file:\(directory.path)/dead",
                ]
                try await LambdaFunction.with("consume", environment) { function async throws in
                    let records = [self.poison, try eventBytes("a"), try eventBytes(""), try eventBytes("b")]
                    for _ in 0..<3 {
                        #expect(try function.invoke(records).body == LambdaFunction.failures(at: nil))
                    }
                    #expect(try EventRows.ids(database).sorted() == ["a", "b"])
                    let letters = try DeadLetters.read(directory.path + "/dead")
                    #expect(letters.compactMap { $0["reason"] } == ["undecodable", "no_message_id"])
                    #expect(letters.first?["origin"] == "\(Cloud.shard(0))/\(LambdaFunction.number(1))")
                }
            }
        }

        @Test("an event that is none of Kinesis is an error of that invocation alone")
        func foreignEvents() async throws {
            try await TestDirectory.with { directory async throws in
                let environment = ["ADTRACK_TO": "sqlite:\(directory.path)/e.sqlite"]
                try await LambdaFunction.with("consume", environment) { function async throws in
                    for event in ["{}", "[]", "no JSON", "", #"{"Records": [{"s3": {}}]}"#] {
                        let answer = try function.invoke(event)
                        #expect(answer.kind == "error" && answer.type == "Function.InvalidEvent", "\(event)")
                        #expect(answer.body?.contains(#""errorMessage":"The event is none of Kinesis"#) == true)
                    }
                    #expect(try function.invoke([eventBytes("a")]).body == LambdaFunction.failures(at: nil))
                    function.process.signal(SIGTERM)
                    #expect(try await function.process.exit() == .status(0))
                }
            }
        }

        @Test("what it can't be is an initialisation error, in one sentence, and exit status 1")
        func initialisation() async throws {
            for (handler, environment, words) in [
                ("comsume", ["ADTRACK_TO": "sqlite:x"], "write consume or update"), ("consume", [:], "--to is missing"),
                ("consume", ["ADTRACK_TO": "mysql:x"], "dynamodb:TABLE"), ("update", [:], "--redis"),
                ("consume", ["ADTRACK_TO": "dynamodb:t"], "region"),
                ("consume", ["ADTRACK_TO": "sqlite:/nonexistent/x"], "can't be opened"),
                ("consume", ["ADTRACK_TO": "sqlite:x", "ADTRACK_DEAD_LETTER": "x"], "file:DIR"),
            ] {
                try await StandIn.with("runtime_api") { api async throws in
                    let process = try LambdaFunction.start(handler, environment, api)
                    #expect(try await process.exit() == .status(1))
                    let errors = try LambdaFunction.initialisationErrors(api)
                    #expect(errors.count == 1)
                    #expect(errors.first?["errorType"]?.text == "Runtime.ConfigInvalid")
                    #expect(errors.first?["errorMessage"]?.text?.contains(words) == true, "\(errors)")
                }
            }
        }

        @Test("when the table takes nothing the answer still leaves before the deadline, and names the first record")
        func deadline() async throws {
            try await Cloud.with { cloud async throws in
                try cloud.inject(#"[{"operation": "PutItem", "kind": "throttle", "times": 100000}]"#)
                let environment = ["ADTRACK_TO": "dynamodb:events"].merging(cloud.environment) { $1 }
                try await LambdaFunction.with("consume", environment, timeout: 2) { function async throws in
                    let answer = try function.invoke((0..<300).map { try eventBytes("id-\($0)") })
                    #expect(answer.kind == "response" && answer.body == LambdaFunction.failures(at: 1))
                    #expect(answer.left >= 0.1 && answer.left < 1.5)
                }
            }
        }

        @Test(
            "a stream's every event is one item, through bisection and retries; the failure destination gets the poison alone"
        )
        func pumped() async throws {
            try await Cloud.with { cloud async throws in
                try cloud.makeStream("events", shards: 2)
                let ids = (0..<200).map { "id-\($0)" }
                var records = try ids.map(eventBytes)
                for place in [0, 100, 202] { records.insert(self.poison, at: place) }
                for _ in 0..<2 { try cloud.put(records, into: "events") }
                try await TestDirectory.with { directory async throws in
                    let create = [
                        "consume", "--from", "file:\(directory.path)", "--to", "dynamodb:events", "--create-table",
                    ]
                    try await StreamCommand.with(create, environment: cloud.environment) { _ async throws in }
                }
                try cloud.inject(
                    """
                    [{"operation": "PutItem", "kind": "throttle", "every": 5, "times": 100},
                     {"operation": "PutItem", "kind": "late-cut", "every": 97, "times": 5}]
                    """
                )
                let environment = ["ADTRACK_TO": "dynamodb:events"].merging(cloud.environment) { $1 }
                try await LambdaFunction.with("consume", environment, timeout: 20) { function async throws in
                    let books = try await LambdaFunction.pump(function.api, cloud, "events")
                    #expect(books.failures.count == 6 && books.failures.allSatisfy { $0.count == 1 })
                    #expect(books.records == records.count * 2)
                }
                #expect(try cloud.items("events").compactMap { $0["id"] }.sorted() == ids.sorted())
            }
        }

        @Test("AWS' own client sees the same in the stand-in as the binary does")
        func crossCheck() async throws {
            try await Cloud.with { cloud async throws in
                try await TestDirectory.with { directory async throws in
                    try cloud.makeStream("events")
                    var records = try (0..<90).map { try eventBytes("id-\($0)") }
                    for place in [3, 40, 92] { records.insert(self.poison, at: place) }
                    try cloud.put(records, into: "events")
                    let environment = ["ADTRACK_TO": "sqlite:\(directory.path)/e.sqlite"]
                    var ours: LambdaFunction.Books?
                    try await LambdaFunction.with("consume", environment) { function async throws in
                        ours = try await LambdaFunction.pump(function.api, cloud, "events", batch: 40)
                    }
                    try await StandIn.with("runtime_api") { api async throws in
                        let process = try ServiceProcess(
                            StandIn.python,
                            ["-m", "awslambdaric", "batch_handler.handle"],
                            environment: [
                                "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:\(api.port)", "PYTHONPATH": StandIn.folder,
                            ]
                        )
                        let theirs = try? await LambdaFunction.pump(api, cloud, "events", batch: 40)
                        await process.end()
                        #expect(theirs != nil && theirs == ours, "\(process.log)")
                    }
                    #expect(ours?.failures.count == 3)
                }
            }
        }

        @Test("programs of a stream are in Redis once they are answered for; one connection serves all events")
        func update() async throws {
            try await RedisServer.with { redis async throws in
                try await LambdaFunction.with("update", ["ADTRACK_REDIS": redis.url]) { function async throws in
                    func program(_ name: String, _ version: Int) -> [UInt8] {
                        Array(#"{"programId":"p","programName":"\#(name)","valid":true,"version":\#(version)}"#.utf8)
                    }
                    func clients() throws -> Set<String> {
                        let lines = try redis.cli("CLIENT", "LIST").split(separator: "\n")
                        return Set(
                            lines.filter { !$0.contains("cmd=client") }.map { String($0.split(separator: " ")[0]) }
                        )
                    }
                    #expect(try function.invoke([program("a", 1)]).body == LambdaFunction.failures(at: nil))
                    let before = try clients()
                    #expect(before.count == 1)
                    let records = [program("b", 3), program("older", 2), Array("{}".utf8), program("c", 4)]
                    #expect(try function.invoke(records).body == LambdaFunction.failures(at: 3))
                    #expect(try redis.cli("HGET", "program:p", "programName") == "b")
                    #expect(try function.invoke(Array(records[3...])).body == LambdaFunction.failures(at: nil))
                    #expect(try redis.cli("HGET", "program:p", "programName") == "c")
                    #expect(try clients() == before)
                }
            }
        }
    }
}
