import Foundation
import TestSupport
import Testing

extension Integration {
    /// Settings, mistakes in them, and the file of programs.
    @Suite("Starting")
    struct StartTests {
        @Test(
            "a wrong flag or value is one sentence and exit status 64",
            arguments: [
                ["serve", "--nonsense"], ["serve", "--port", "x"], ["serve", "--port", "65536"],
                ["serve", "--port", "-1"],
                ["serve", "--durability", "maybe"], ["serve", "--cache-ttl", "10"],
                ["serve", "--journal-max-bytes", "1XB"],
                ["serve", "--sink", "nonsense"], ["serve", "--sink", "file:"], ["serve", "--redis", "http://x"],
                ["serve", "--event-loops", "0"], ["serve", "--journal-full", "panic"], ["serve", "extra"], ["nonsense"],
                ["load"], ["load", "ftp://x", "--rate", "1"], ["load", "http://127.0.0.1:1", "--rate", "fast"],
                ["load", "http://127.0.0.1:1", "--rate", "1", "--duration", "1"],
                ["load", "http://127.0.0.1:1", "--rate", "1", "--unknown", "101%"],
                ["load", "http://127.0.0.1:1", "--rate", "1", "--connections", "0"],
                ["load", "http://127.0.0.1:1", "--rate", "1", "--p99", "1ms"],
            ]
        )
        func mistakes(arguments: [String]) async throws {
            let (exit, output, log) = try await Binary.run(arguments, within: .seconds(10))
            #expect(exit == .status(64), "\(log)")
            #expect(output.isEmpty)
            #expect(log.split(separator: "\n").count == 1, "\(log)")
            #expect(!log.contains("ValidationError"), "\(log)")
        }

        @Test("every command has help with an example", arguments: ["serve", "load", "events", "programs"])
        func help(command: String) async throws {
            let (exit, output, _) = try await Binary.run([command, "--help"])
            #expect(exit == .status(0))
            #expect(output.contains("EXAMPLE"))
            #expect(output.contains("adtrack \(command)"))
        }

        @Test(
            "a file of programs that is missing or broken is one sentence and exit status 1",
            arguments: [nil, "[", "{}", "[1]", ""]
        )
        func brokenPrograms(content: String?) async throws {
            try await TestDirectory.with { directory async throws in
                var file = directory.path + "/missing.json"
                if let content { file = try directory.write(content, to: "programs.json") }
                let process = try Service.launch(Service.Setup(["--programs", file]), in: directory)
                let exit = try? await process.exit(within: .seconds(10))
                await process.end()
                #expect(exit == .status(1), "\(process.log)")
                #expect(process.log.contains(file) || process.log.contains("programs"), "\(process.log)")
            }
        }

        @Test("a port that is taken is one sentence and no exit status 0")
        func portTaken() async throws {
            try await Service.with(Service.Setup(["--event-loops", "1"])) { service async throws in
                try await TestDirectory.with { directory async throws in
                    var setup = Service.Setup(["--event-loops", "1"])
                    setup.port = service.port
                    let process = try Service.launch(setup, in: directory)
                    let exit = try? await process.exit(within: .seconds(10))
                    await process.end()
                    #expect(exit == .status(1), "\(process.log)")
                    #expect(process.log.contains("\(service.port)"), "\(process.log)")
                }
            }
        }

        @Test(
            "a changed file is served as a whole; a broken one leaves the old programs and says so; a mended one counts"
        )
        func reload() async throws {
            try await TestDirectory.with { directory async throws in
                func programs(_ name: String) -> String {
                    let list = ["a", "b"].map { #"{"programId":"\#($0)","programName":"\#(name)","valid":true}"# }
                    return "[" + list.joined(separator: ",") + "]"
                }
                let file = try directory.write(programs("first"), to: "programs.json")
                let service = try await Service.start(Service.Setup(["--programs", file]), in: directory)
                func name(_ id: String) throws -> String? { try service.get("/event/\(id)").json["programName"]?.text }
                #expect(try name("a") == "first")
                try directory.write(programs("second"), to: "programs.json")
                #expect(try await eventually(within: .seconds(10)) { try name("a") == "second" })
                #expect(try name("b") == "second")
                try directory.write("[{\"programId\":", to: "programs.json")
                _ = try await service.process.line(within: .seconds(10)) {
                    $0.contains("programs") && !$0.contains("http=")
                }
                #expect(try name("a") == "second")
                #expect(try service.get("/health/ready").status == 200)
                try directory.write(
                    "[" + #"{"programId":"a","programName":"third","valid":true}"# + "]",
                    to: "programs.json"
                )
                #expect(try await eventually(within: .seconds(10)) { try name("a") == "third" })
                #expect(try service.get("/event/b").status == 404)
                await service.process.end()
            }
        }

        @Test("a flag is stronger than the environment, the environment than a file")
        func precedence() async throws {
            try await TestDirectory.with { directory async throws in
                try directory.write(#"[{"programId":"x","valid":true}]"#, to: "x.json")
                let config = try directory.write(
                    #"{"programs": "\#(directory.path)/missing.json", "journal": {"durability": "memory"}}"#,
                    to: "config.json"
                )
                var setup = Service.Setup(["--config", config])
                setup.environment = ["ADTRACK_PROGRAMS": directory.path + "/x.json", "ADTRACK_DURABILITY": "maybe"]
                setup.arguments += ["--durability", "write"]
                let service = try await Service.start(setup, in: directory)
                #expect(try service.get("/event/x").status == 200)
                #expect(try service.get("/event/212312").status == 404)
                await service.process.end()
            }
        }

        @Test("its data goes to ./adtrack-data when nothing is said")
        func defaultData() async throws {
            try await TestDirectory.with { directory async throws in
                let arguments = [
                    "-c",
                    "cd '\(directory.path)' && exec '\(try Binary.path())' serve --host 127.0.0.1 --port 0 --management-port 0",
                ]
                let process = try directory.run("/bin/sh", arguments)
                let line = try await process.line { $0.contains("http=") }
                let port = line.components(separatedBy: "http=127.0.0.1:").last?.prefix { $0.isNumber }
                let number = try #require(port.flatMap { Int($0) })
                #expect(try RawConnection(port: number).exchange("/event/212312").status == 200)
                process.signal(SIGTERM)
                #expect(try await process.exit() == .status(0))
                #expect(FileManager.default.fileExists(atPath: directory.path + "/adtrack-data/journal"))
                #expect(FileManager.default.fileExists(atPath: directory.path + "/adtrack-data/events"))
            }
        }
    }
}
