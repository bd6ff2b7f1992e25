public import ArgumentParser
import CoreDataFeed
import Glibc
import Logging
import NIOCore
import NIOPosix
import RedisClient
public import TrackingModel

/// `adtrack programs`: reads and changes the programs in Redis; each change is versioned and published.
struct ProgramsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "programs",
        abstract: "Read and change the programs in Redis; each change is versioned and published.",
        discussion: """
            EXAMPLES
              adtrack programs put '{"programId":"212312","valid":true}' --redis redis://127.0.0.1:6379
              adtrack programs import data.json --redis redis://127.0.0.1:6379
              adtrack programs get 212312 --redis redis://127.0.0.1:6379
            """,
        subcommands: [Import.self, Put.self, Get.self, Delete.self, List.self]
    )

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write all programs of a JSON file (an array, {\"programs\":[…]}, or an object a line).",
            discussion: "EXAMPLE: adtrack programs import data.json --redis redis://127.0.0.1:6379"
        )
        @Argument(help: "The file; - is standard input.") var file: String
        @OptionGroup var redis: RedisOptions

        func run() async throws {
            let programs = try ProgramsInput.read(file)
            let imported = try await redis.withStore { store in
                var progress = ImportProgress(total: programs.count)
                return try await store.importAll(programs) { progress.reached($0) }
            }
            print("imported \(imported.applied) programs, \(imported.notNewer) were not newer than what Redis holds")
        }
    }

    struct Put: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write one program and print it as it is now.",
            discussion:
                "EXAMPLE: adtrack programs put '{\"programId\":\"212312\",\"valid\":true}' --redis redis://127.0.0.1:6379"
        )
        @Argument(help: "The program as a JSON object; - is standard input.") var json: String
        @OptionGroup var redis: RedisOptions

        func run() async throws {
            var program = try ProgramsInput.one(json)
            let put = program
            switch try await redis.withStore({ try await $0.put(put) }) {
            case .applied(let version):
                program.version = version
                print(String(decoding: program.json, as: UTF8.self))
            case .notNewer(let held):
                throw Failure(
                    "Version \(put.version ?? 0) of program \(put.id) is not newer than \(held); nothing was written."
                )
            case .unknown: break
            }
        }
    }

    struct Get: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print one program as a JSON object; exits 1 if it is unknown.",
            discussion: "EXAMPLE: adtrack programs get 212312 --redis redis://127.0.0.1:6379"
        )
        @Argument(help: "The program's id.") var id: ProgramID
        @OptionGroup var redis: RedisOptions

        func run() async throws {
            guard let program = try await redis.withStore({ try await $0.get(id) }) else {
                throw Failure("There is no program \(id).")
            }
            print(String(decoding: program.json, as: UTF8.self))
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete one program; its version is remembered for 7 days. Exits 1 if it is unknown.",
            discussion: "EXAMPLE: adtrack programs delete 212312 --redis redis://127.0.0.1:6379"
        )
        @Argument(help: "The program's id.") var id: ProgramID
        @OptionGroup var redis: RedisOptions

        func run() async throws {
            guard case .applied(let version) = try await redis.withStore({ try await $0.delete(id) }) else {
                throw Failure("There is no program \(id).")
            }
            print("deleted program \(id) with version \(version)")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the ids of all programs, one a line.",
            discussion: "EXAMPLE: adtrack programs list --redis redis://127.0.0.1:6379"
        )
        @OptionGroup var redis: RedisOptions

        func run() async throws {
            for id in try await redis.withStore({ try await $0.list() }) { print(id) }
        }
    }
}

/// One sentence on standard error and exit code 1.
private struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

extension ProgramID: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension RedisOptions {
    /// Connects, waits at most two seconds for Redis, and hands its store to `body`.
    fileprivate func withStore<Outcome: Sendable>(
        _ body: @Sendable (ProgramStore) async throws -> Outcome
    ) async throws -> Outcome {
        let settings = try await settings()
        let keys = try CoreDataKeys(settings)
        let client = RedisClient(
            try RedisConfiguration(settings),
            on: MultiThreadedEventLoopGroup.singleton.next(),
            logger: Logger(label: "adtrack.redis") { _ in SwiftLogNoOpLogHandler() }
        )
        await client.start()
        do {
            try await client.waitUntilReady(for: .seconds(2))
            let outcome = try await body(ProgramStore(client, keys: keys))
            await client.stop()
            return outcome
        } catch {
            await client.stop()
            throw error
        }
    }
}

/// Programs from a file, an argument or standard input; a fault ends the command with exit code 65 and its place.
private enum ProgramsInput {
    static func read(_ file: String) throws -> [Program] {
        do throws(ProgramsFile.Fault) {
            return try ProgramsFile.read(path: file == "-" ? "/dev/stdin" : file)
        } catch {
            throw refusal("\(file == "-" ? "standard input" : file): \(error)")
        }
    }

    static func one(_ json: String) throws -> Program {
        if json == "-" {
            let programs = try read(json)
            guard programs.count == 1 else {
                throw refusal("standard input: holds \(programs.count) programs, not one")
            }
            return programs[0]
        }
        guard json.utf8.count <= ProgramStore.maximumProgramBytes else {
            throw refusal("the program is larger than \(ProgramStore.maximumProgramBytes) bytes")
        }
        do throws(MalformedProgram) {
            return try Program(json: Array(json.utf8))
        } catch {
            throw refusal("the program: \(error)")
        }
    }

    private static func refusal(_ sentence: String) -> ExitCode {
        complain("adtrack: \(sentence). Nothing was written.")
        return ExitCode(EX_DATAERR)
    }
}

/// A line a second on standard error while a big import runs.
private struct ImportProgress {
    let total: Int
    private var lastLine = ContinuousClock.now

    init(total: Int) { self.total = total }

    mutating func reached(_ done: Int) {
        guard done < total, ContinuousClock.now - lastLine >= .seconds(1) else { return }
        lastLine = .now
        complain("\(done) of \(total) programs (\(done * 100 / total) %)")
    }
}
