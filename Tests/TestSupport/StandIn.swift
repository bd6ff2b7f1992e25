import Foundation

/// A Python program of `Tests/StandIns` on a free port of its own; it ends when its standard input does, or by its id.
public final class StandIn: Sendable {
    public let port: Int
    /// What it said after its port.
    public let words: [String]
    private let process: Locked<Process?>

    public var url: String { "http://127.0.0.1:\(port)" }

    /// Python with the packages that the stand-ins need: `ADTRACK_PYTHON`, or what `Deploy/stand-ins` made.
    public static let python: String = {
        ProcessInfo.processInfo.environment["ADTRACK_PYTHON"] ?? root + ".build/stand-ins/bin/python3"
    }()

    /// The folder of the package, with a slash.
    private static let root: String = {
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast(3).joined(separator: "/") + "/"
    }()

    /// Where the programs are.
    public static var folder: String { root + "Tests/StandIns" }

    /// Of a program of `Tests/StandIns`, by its name without ending.
    public static func path(_ name: String) -> String { "\(self.folder)/\(name).py" }

    /// - Parameter name: of the program, without its folder and ending.
    public init(_ name: String, _ arguments: [String] = []) throws {
        let started = Process()
        started.executableURL = URL(fileURLWithPath: Self.python)
        started.arguments = [Self.path(name)] + arguments
        let output = Pipe()
        started.standardOutput = output
        started.standardInput = Pipe()
        do { try started.run() } catch {
            throw TestFailure("\(Self.python) cannot be started; Deploy/stand-ins makes it")
        }
        var line: [UInt8] = []
        while let byte = try output.fileHandleForReading.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") {
            line.append(byte)
        }
        let text = String(decoding: line, as: UTF8.self)
        let words = text.split(separator: " ").map(String.init)
        guard words.count > 1, words[0] == "port", let port = Int(words[1]) else {
            kill(started.processIdentifier, SIGKILL)
            throw TestFailure("\(name).py said \"\(text)\" instead of its port")
        }
        self.port = port
        self.words = Array(words[2...])
        self.process = Locked(started)
    }

    /// Starts one, hands it to `body`, and ends it however `body` returns.
    public static func with<Outcome>(
        _ name: String,
        _ arguments: [String] = [],
        isolation: isolated (any Actor)? = #isolation,
        _ body: (StandIn) async throws -> Outcome
    ) async throws -> Outcome {
        let standIn = try StandIn(name, arguments)
        defer { standIn.end() }
        return try await body(standIn)
    }

    public func end() {
        guard let process = process.take() else { return }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }

    /// Its administration: the JSON it answers.
    @discardableResult
    public func ask(_ target: String, method: String = "GET", _ body: String = "") throws -> String {
        let connection = try RawConnection(port: port)
        _ = connection.send(
            "\(method) \(target) HTTP/1.1\r\nHost: test\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        let response = try connection.response()
        guard response.status == 200 else { throw TestFailure("\(target) answered \(response.status)") }
        return String(decoding: response.body, as: UTF8.self)
    }
}

extension StandIn {
    /// What `kinesis.py` wrote into its books.
    public struct Ledger: Decodable, Sendable {
        public var calls: [String: Int]
        public var connections: Int
        public var received: Int
        public var stored: Int
        public var throttled: Int
        public var failed: Int
        /// Different partition keys that were stored.
        public var unique: Int
        /// Stored more often than once.
        public var duplicates: Int
        /// Records that came again although the client had been told that they are stored.
        public var sentAgainAfterAnswer: Int
        /// Of each call: seconds since the Unix epoch.
        public var attempts: [Double]
        /// `right` and `wrong`, where signatures are checked.
        public var signatures: [String: Int]
        /// Partition key → how often stored; only where asked for.
        public var keys: [String: Int]?
    }

    public func ledger(withKeys: Bool = false) throws -> Ledger {
        try JSONDecoder().decode(Ledger.self, from: Data(ask("/_ledger\(withKeys ? "?keys" : "")").utf8))
    }

    /// - Parameter json: a fault or a list of them, as `kinesis.py` describes.
    public func inject(_ json: String) throws { try ask("/_faults", method: "POST", json) }

    public func removeFaults() throws { try ask("/_faults", method: "DELETE") }
}
