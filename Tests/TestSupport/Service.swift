import Foundation
import Synchronization

/// An `adtrack serve` of a test's own: on free ports of the loopback, with its journal and events in a directory of its own.
public final class Service: Sendable {
    /// How a service is started.
    public struct Setup: Sendable {
        /// Added to those that name ports and directories.
        public var arguments: [String] = []
        public var environment: [String: String] = [:]
        /// The limit of open files.
        public var descriptors: Int?
        /// 0 lets the system choose; a restarted service keeps its port by naming it.
        public var port = 0
        /// Whether the journal's and the sink's directory are named.
        public var hasOwnData = true

        public init(_ arguments: [String] = []) {
            self.arguments = arguments
        }
    }

    public let process: ServiceProcess
    public let port: Int
    public let managementPort: Int
    public let directory: TestDirectory

    private init(process: ServiceProcess, port: Int, managementPort: Int, directory: TestDirectory) {
        self.process = process
        self.port = port
        self.managementPort = managementPort
        self.directory = directory
    }

    /// Starts a service, hands it to `body`, and ends it and its data however `body` ends.
    @discardableResult
    public static func with<Outcome>(
        _ setup: Setup = Setup(),
        isolation: isolated (any Actor)? = #isolation,
        _ body: (Service) async throws -> Outcome
    ) async throws -> Outcome {
        try await TestDirectory.with { try await body(start(setup, in: $0)) }
    }

    /// Starts one that ends with the directory, if it is not ended before; returns when it has said that it serves.
    public static func start(_ setup: Setup = Setup(), in directory: TestDirectory) async throws -> Service {
        let process = try launch(setup, in: directory)
        do {
            let line = try await process.line { $0.contains("http=") && $0.contains("management=") }
            guard let port = number(after: "http=", in: line),
                let managementPort = number(after: "management=", in: line)
            else { throw ServiceFailure("no ports in: \(line)") }
            return Service(process: process, port: port, managementPort: managementPort, directory: directory)
        } catch {
            await process.end()
            throw error
        }
    }

    /// Starts one without waiting for anything, for those that are not to come up.
    public static func launch(_ setup: Setup, in directory: TestDirectory) throws -> ServiceProcess {
        var arguments = ["serve", "--host", "127.0.0.1", "--port", "\(setup.port)", "--management-port", "0"]
        if setup.hasOwnData { arguments += ["--journal", directory.journal, "--sink", "file:\(directory.events)"] }
        return try directory.run(
            Binary.path(),
            arguments + setup.arguments,
            environment: setup.environment,
            descriptors: setup.descriptors
        )
    }

    public var url: String { "http://127.0.0.1:\(port)" }

    /// One request over a connection of its own to the public port.
    public func get(_ target: String, method: String = "GET", headers: [String] = []) throws -> RawResponse {
        try RawConnection(port: port).exchange(target, method: method, headers: headers)
    }

    /// One request to the management port.
    public func manage(_ target: String) throws -> RawResponse {
        try RawConnection(port: managementPort).exchange(target)
    }

    /// Ends it with SIGTERM as an operator would.
    public func stop(within limit: Duration = .seconds(25)) async throws -> ServiceProcess.Exit {
        process.signal(SIGTERM)
        return try await process.exit(within: limit)
    }

    /// The number behind the last colon of `name`'s value.
    private static func number(after name: String, in line: String) -> Int? {
        guard let start = line.range(of: name)?.upperBound else { return nil }
        let address = line[start...].prefix { !$0.isWhitespace }
        let digits = address.split(separator: ":").last.map { $0.filter(\.isNumber) } ?? ""
        return Int(digits)
    }
}

/// The program under test.
public enum Binary {
    /// `ADTRACK_BINARY`, or the one that was built together with the tests.
    public static func path() throws -> String {
        if let path = ProcessInfo.processInfo.environment["ADTRACK_BINARY"], !path.isEmpty { return path }
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let candidates = [tests] + CommandLine.arguments
        for candidate in candidates {
            let path = URL(fileURLWithPath: candidate).deletingLastPathComponent().appendingPathComponent("adtrack")
                .path
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        throw ServiceFailure("the binary adtrack was not built beside \(tests)")
    }

    /// Runs it to its end.
    public static func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        within limit: Duration = .seconds(60)
    ) async throws -> (exit: ServiceProcess.Exit, output: String, log: String) {
        let process = try ServiceProcess(path(), arguments, environment: environment)
        do {
            let exit = try await process.exit(within: limit)
            return (exit, process.output, process.log)
        } catch {
            await process.end()
            throw error
        }
    }
}

/// A directory of a test's own. At its end the processes that were started in it are ended, however the test went, and it
/// is removed.
public final class TestDirectory: Sendable {
    public let path: String
    private let processes = Mutex<[ServiceProcess]>([])

    public var journal: String { path + "/journal" }
    public var events: String { path + "/events" }

    public init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("adtrack-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    public static func with<Outcome>(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (TestDirectory) async throws -> Outcome
    ) async throws -> Outcome {
        let directory = try TestDirectory()
        do {
            let outcome = try await body(directory)
            await directory.end()
            return outcome
        } catch {
            await directory.end()
            throw error
        }
    }

    private func end() async {
        for process in processes.withLock({ $0 }) { await process.end() }
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Starts a program that works in this directory.
    public func run(
        _ path: String,
        _ arguments: [String],
        environment: [String: String] = [:],
        descriptors: Int? = nil
    ) throws -> ServiceProcess {
        let process = try ServiceProcess(path, arguments, environment: environment, descriptors: descriptors)
        processes.withLock { $0.append(process) }
        return process
    }

    /// - Returns: the file's path.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String {
        let file = path + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
        return file
    }

    public func read(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)), as: UTF8.self)
    }
}
