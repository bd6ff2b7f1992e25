import Foundation
import TestSupport
import Testing

@Suite("adtrack programs", .serialized)
struct ProgramsCommandTests {
    private typealias Ended = (exit: ServiceProcess.Exit, output: String, log: String)

    private func programs(_ arguments: String..., on server: RedisServer) async throws -> Ended {
        try await Binary.run(["programs"] + arguments + ["--redis", server.url])
    }

    private func withFile(_ text: String, _ body: (String) async throws -> Void) async throws {
        try await TestDirectory.with { directory in
            let path = directory.path + "/programs.json"
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            try await body(path)
        }
    }

    @Test("A program is put with the next version, printed, listed and deleted")
    func life() async throws {
        try await RedisServer.with { server in
            let put = try await programs("put", "{\"programId\":\"a\",\"customerId\":\"7\",\"valid\":true}", on: server)
            #expect(put.exit == .status(0))
            #expect(put.output.contains("\"version\":1"))
            let again = try await programs("put", "{\"programId\":\"a\",\"programName\":\"two\"}", on: server)
            #expect(again.output.contains("\"version\":2"))
            let got = try await programs("get", "a", on: server)
            #expect(got.output == again.output)
            #expect(got.output.split(separator: "\n").count == 1)
            _ = try await programs("put", "{\"programId\":\"b\"}", on: server)
            let listed = try await programs("list", on: server)
            #expect(listed.output == "a\nb\n")
            let deleted = try await programs("delete", "a", on: server)
            #expect(deleted.exit == .status(0))
            let gone = try await programs("get", "a", on: server)
            #expect(gone.exit == .status(1))
            #expect(gone.output.isEmpty)
            let unknown = try await programs("delete", "a", on: server)
            #expect(unknown.exit == .status(1))
            let after = try await programs("put", "{\"programId\":\"a\"}", on: server)
            #expect(after.output.contains("\"version\":4"))
        }
    }

    @Test("A version that is not newer is not written and exits 1")
    func notNewer() async throws {
        try await RedisServer.with { server in
            _ = try await programs("put", "{\"programId\":\"a\",\"version\":8}", on: server)
            let older = try await programs("put", "{\"programId\":\"a\",\"version\":8}", on: server)
            #expect(older.exit == .status(1))
            #expect(older.output.isEmpty)
        }
    }

    @Test("The data.json of the replaced system is imported, under its keys too")
    func importing() async throws {
        let data = """
            [{"userAgent":"","programId":"212313","programName":"program2","checksum":"c","customerId":98,
              "customerName":"Customer 98","messageId":"0","valid":true},
             {"userAgent":"","programId":"212314","programName":"program3","checksum":"c","customerId":99,
              "customerName":"Customer 99","messageId":"0","valid":true}]
            """
        try await RedisServer.with { server in
            try await withFile(data) { file in
                let ended = try await programs("import", file, "--redis-key-prefix", "", on: server)
                #expect(ended.exit == .status(0))
                #expect(ended.output.hasPrefix("imported 2 programs"))
                #expect(try server.cli("HGET", "212314", "customerName") == "Customer 99")
            }
        }
    }

    @Test(
        "A fault exits 65 with its place, and nothing is written",
        arguments: [
            ("[\n{\"programId\":\"a\"},\n{\"programId\":\"a\"}]", "line 3"),
            ("[{\"programId\":\"a\"},\n{\"programId\":\"b\",\"customerId\":\"x\"}]", "line 2: entry 2: customerId"),
            ("[{\"programId\":\"a\"}", "line 1"),
        ]
    )
    func faults(text: String, place: String) async throws {
        try await RedisServer.with { server in
            try await withFile(text) { file in
                let ended = try await programs("import", file, on: server)
                #expect(ended.exit == .status(65))
                #expect(ended.log.contains(place))
                #expect(ended.log.split(separator: "\n").count == 1)
                #expect(try server.cli("DBSIZE") == "0")
            }
        }
    }

    @Test("A malformed program given to put exits 65 and names the field")
    func malformedPut() async throws {
        try await RedisServer.with { server in
            for (json, place) in [
                ("{\"programId\":\"a\",\"validFrom\":\"x\"}", "validFrom"), ("{\"programId\":\"a/b\"}", "programId"),
                ("{", "JSON"),
            ] {
                let ended = try await programs("put", json, on: server)
                #expect(ended.exit == .status(65))
                #expect(ended.log.contains(place))
            }
            #expect(try server.cli("DBSIZE") == "0")
        }
    }

    @Test("Wrong usage exits 64 with one sentence that shows no password; a Redis that is away says so")
    func usage() async throws {
        for arguments in [
            ["get", "a"], ["get", "a/b", "--redis", "redis://h"], ["get", "a", "--redis", "http://hunter2@h"],
            ["get", "a", "--redis", "redis://u:hunter2@h:x"], ["put"], ["nonsense"],
            ["get", "a", "--redis", "redis://h", "--redis-timeout", "soon"],
        ] {
            let ended = try await Binary.run(["programs"] + arguments)
            #expect(ended.exit == .status(64), "\(arguments)")
            #expect(!ended.log.contains("hunter2"))
            #expect(ended.output.isEmpty)
        }
        let away = try await Binary.run([
            "programs", "list", "--redis", "redis://:hunter2@127.0.0.1:\(FreePort.next())",
        ])
        #expect(away.exit == .status(1))
        #expect(away.log.contains("Redis"))
        #expect(!away.log.contains("hunter2"))
    }

    @Test("Redis may be named by the environment, also by the names of the replaced system")
    func environment() async throws {
        try await RedisServer.with { server in
            for environment in [
                ["ADTRACK_REDIS": server.url], ["REDIS_HOST": "127.0.0.1", "REDIS_PORT": "\(server.port)"],
            ] {
                let ended = try await Binary.run(["programs", "list"], environment: environment)
                #expect(ended.exit == .status(0))
            }
        }
    }
}
