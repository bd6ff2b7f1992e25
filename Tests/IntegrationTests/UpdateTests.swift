import Foundation
import TestSupport
import Testing

extension Integration {
    /// From a stream of core data to every running service.
    @Suite("adtrack update")
    struct UpdateTests {
        private func program(_ id: String, _ name: String, version: Int? = nil) -> [UInt8] {
            let version = version.map { #","version":\#($0)"# } ?? ""
            return Array(#"{"programId":"\#(id)","programName":"\#(name)","valid":true\#(version)}"#.utf8)
        }

        @Test("a program that is put into the stream answers in a running service within a second; so does a delete")
        func pushed() async throws {
            try await RedisServer.with { redis async throws in
                let setup = Service.Setup(["--redis", redis.url, "--event-loops", "2"])
                try await Service.with(setup) { service async throws in
                    let dead = service.directory.path + "/dead"
                    let arguments = [
                        "update", "--from", "redis:programs", "--redis", redis.url, "--dead-letter", "file:\(dead)",
                    ]
                    try await StreamCommand.with(arguments) { updater async throws in
                        #expect(try await eventually { try updater.manage("/health/ready").status == 200 })
                        #expect(try await eventually { try service.get("/health/ready").status == 200 })
                        func name() throws -> String? { try service.get("/event/p").json["programName"]?.text }
                        #expect(try service.get("/event/p").status == 404)
                        for version in 1...10 {
                            let entry = self.program("p", "v\(version)", version: version)
                            try redis.append([Array("no program".utf8), entry], to: "programs", field: "program")
                            #expect(try await eventually(within: .seconds(1)) { try name() == "v\(version)" })
                        }
                        // What is older changes nothing; a program after it shows that it was read.
                        try redis.append(
                            [self.program("p", "old", version: 3), self.program("q", "q")],
                            to: "programs",
                            field: "program"
                        )
                        #expect(try await eventually { try service.get("/event/q").status == 200 })
                        #expect(try name() == "v10")
                        let delete = Array(#"{"programId":"p","version":11,"deleted":true}"#.utf8)
                        try redis.append([delete], to: "programs", field: "program")
                        #expect(try await eventually(within: .seconds(1)) { try service.get("/event/p").status == 404 })
                        let tombstone = try #require(Int(redis.cli("TTL", "program:p:deleted")))
                        #expect(tombstone > 6 * 86_400 && tombstone <= 7 * 86_400)
                        #expect(try redis.cli("EXISTS", "program:p") == "0")
                        let letters = try DeadLetters.read(dead)
                        #expect(letters.count == 10)
                        #expect(letters.first?["reason"] == "undecodable")
                        #expect(try updater.metric("adtrack_update_programs_total", ["result": "applied"]) == 12)
                        #expect(try updater.metric("adtrack_update_programs_total", ["result": "not_newer"]) == 1)
                        #expect(try updater.metric("adtrack_dead_letter_records_total") == 10)
                        #expect(try await updater.stop() == .status(0))
                        #expect(try redis.cli("XPENDING", "programs", "adtrack").hasPrefix("0"))
                    }
                }
            }
        }

        @Test(
            "a file and standard input end with 0, also where records were no programs; the older system's are understood"
        )
        func lines() async throws {
            try await RedisServer.with { redis async throws in
                try await TestDirectory.with { directory async throws in
                    let text = """
                        {"userAgent":"u","programId":"212313","programName":"two","checksum":"c","customerId":98,"customerName":"n","messageId":"","valid":true}
                        {"programId":"bad id"}
                        {"programId":"dated","validFrom":"tomorrow"}

                        {"programId":"ours","customerId":"7","valid":true,"version":5,"parameters":{"required":["x"]}}
                        {"programId":"wrongtype","valid":true}
                        not JSON
                        {"programId":"212313","deleted":true}
                        {"programId":"212313","programName":"again","valid":true}
                        """
                    try redis.cli("SET", "program:wrongtype", "text")
                    let path = try directory.write(text, to: "programs.jsonl")
                    let arguments = [
                        "--redis", redis.url, "--dead-letter", "file:\(directory.path)/dead", "--management-port", "0",
                    ]
                    for _ in 0..<2 {
                        let ended = try await Binary.run(["update", "--from", "file:\(path)"] + arguments)
                        #expect(ended.exit == .status(0), "\(ended.log)")
                    }
                    let letters = try DeadLetters.read(directory.path + "/dead")
                    #expect(letters.compactMap { $0["origin"] }.sorted() == ["line 2", "line 3", "line 6", "line 7"])
                    #expect(letters.first { $0["origin"] == "line 3" }?["detail"]?.contains("validFrom") == true)
                    #expect(try redis.cli("HGET", "program:212313", "programName") == "again")
                    #expect(try redis.cli("HGET", "program:ours", "version") == "5")
                    let get = try await Binary.run(["programs", "get", "212313", "--redis", redis.url])
                    #expect(get.output.contains(#""valid":true"#))
                    let process = try Command.run(
                        "/bin/sh",
                        [
                            "-c", "echo '{\"programId\":\"piped\"}' | \"$0\" update --from - \"$@\" 2>&1",
                            Binary.path(),
                        ] + arguments
                    )
                    #expect(process.contains("applied=1"))
                    #expect(try redis.cli("HGET", "program:piped", "version") == "1")
                }
            }
        }

        @Test("a program in a Kinesis stream answers in a running service within a second, whatever stands before it")
        func kinesis() async throws {
            try await Cloud.with { cloud async throws in
                try await RedisServer.with { redis async throws in
                    try cloud.makeStream("programs", shards: 2)
                    try await Service.with(Service.Setup(["--redis", redis.url])) { service async throws in
                        let dead = service.directory.path + "/dead"
                        let arguments = [
                            "update", "--from", "kinesis:programs", "--redis", redis.url, "--dead-letter",
                            "file:\(dead)", "--lease-duration", "1s",
                        ]
                        for start in [1, 6] {
                            try await StreamCommand.with(arguments, environment: cloud.environment) {
                                updater async throws in
                                #expect(try await eventually { try updater.manage("/health/ready").status == 200 })
                                #expect(try await eventually { try service.get("/health/ready").status == 200 })
                                for version in start..<start + 5 {
                                    let entry = self.program("p", "v\(version)", version: version)
                                    try cloud.put([Array("no program".utf8), entry], into: "programs")
                                    let isSeen = try await eventually(within: .seconds(1)) {
                                        try service.get("/event/p").json["programName"]?.text == "v\(version)"
                                    }
                                    #expect(isSeen)
                                }
                                // Positions are kept: what was read before is not read again. The service may have answered
                                // before the updater has heard from Redis.
                                let isCounted = try await eventually {
                                    try updater.metric("adtrack_update_programs_total", ["result": "applied"]) == 5
                                }
                                #expect(isCounted)
                                #expect(
                                    try updater.metric("adtrack_update_programs_total", ["result": "not_newer"]) == 0
                                )
                                #expect(try await updater.stop() == .status(0))
                            }
                        }
                        #expect(try DeadLetters.read(dead).count == 10)
                        #expect(try redis.cli("HGET", "program:p", "version") == "10")
                    }
                }
            }
        }

        @Test("killed in the middle of an import, it has written every program once begun again")
        func killed() async throws {
            try await RedisServer.with { redis async throws in
                try redis.append(
                    (0..<3000).map { self.program("p\($0)", "n\($0)", version: 1) },
                    to: "programs",
                    field: "program"
                )
                let arguments = [
                    "update", "--from", "redis:programs", "--redis", redis.url, "--claim-idle", "300ms",
                    "--batch-records",
                    "100",
                ]
                let victim = try await StreamCommand.start(arguments)
                _ = try await eventually { try redis.cli("EXISTS", "program:p500") == "1" }
                victim.process.signal(SIGKILL)
                _ = try await victim.process.exit()
                try await StreamCommand.with(arguments) { _ async throws in
                    let isDone = try await eventually(within: .seconds(20)) {
                        try redis.cli("XPENDING", "programs", "adtrack").hasPrefix("0")
                            && redis.cli("EXISTS", "program:p2999") == "1"
                    }
                    #expect(isDone)
                    #expect(try redis.cli("DBSIZE") == "3002")
                }
            }
        }
    }
}
