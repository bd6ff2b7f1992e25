public import Foundation

/// A `redis-server` of the test's own on a free loopback port; in memory only, ended by its process id.
public final class RedisServer: Sendable {
    public struct Options: Sendable {
        /// More lines of `redis.conf`.
        public var configuration: [String] = []
        /// Whether TLS is spoken on ``RedisServer/port`` (and no plain text anywhere).
        public var usesTLS = false
        public init() {}
    }

    public let port: Int
    /// The authority that signed the server's certificate, where TLS is used.
    public let certificateAuthority: String
    private let directory: URL
    private let options: Options
    private let process: Locked<Process?>

    public init(_ options: Options = Options()) throws {
        self.options = options
        self.port = try FreePort.next()
        self.directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "adtrack-redis-\(UUID().uuidString)"
        )
        self.certificateAuthority = directory.appendingPathComponent("ca.pem").path
        self.process = Locked(nil)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        if options.usesTLS { try makeCertificates() }
    }

    /// Starts a server, hands it to `body`, and ends it however `body` returns.
    public static func with<Outcome>(
        _ options: Options = Options(),
        isolation: isolated (any Actor)? = #isolation,
        _ body: (RedisServer) async throws -> Outcome
    ) async throws -> Outcome {
        let server = try RedisServer(options)
        defer { server.remove() }
        try server.start()
        return try await body(server)
    }

    public var url: String { "\(options.usesTLS ? "rediss" : "redis")://127.0.0.1:\(port)" }

    /// Starts the process and returns when it answers. After ``kill()`` it starts empty on the same port.
    public func start() throws {
        let started = Process()
        started.executableURL = URL(fileURLWithPath: "/usr/bin/redis-server")
        started.currentDirectoryURL = directory
        started.standardInput = FileHandle(forReadingAtPath: "/dev/null")
        started.standardOutput = FileHandle(forWritingAtPath: "/dev/null")
        started.standardError = FileHandle(forWritingAtPath: "/dev/null")
        started.arguments = try [writeConfiguration()]
        try started.run()
        process.set(started)
        try waitUntilAnswering()
    }

    /// Ends the process at once.
    public func kill() {
        guard let process = process.take() else { return }
        signal(process, SIGCONT)
        signal(process, SIGKILL)
        process.waitUntilExit()
    }

    /// Holds the process still: connections stay open and nothing is answered.
    public func pause() { process.get().map { signal($0, SIGSTOP) } }

    public func resume() { process.get().map { signal($0, SIGCONT) } }

    /// Ends the process and removes its directory.
    public func remove() {
        kill()
        try? FileManager.default.removeItem(at: directory)
    }

    /// What `redis-cli` prints for these arguments, without the last line end.
    @discardableResult
    public func cli(_ arguments: String...) throws -> String {
        try cli(arguments)
    }

    @discardableResult
    public func cli(_ arguments: [String], input: Data? = nil) throws -> String {
        let tls = options.usesTLS ? ["--tls", "--cacert", certificateAuthority] : []
        return try Command.run(
            "/usr/bin/redis-cli",
            ["-h", "127.0.0.1", "-p", "\(port)"] + tls + arguments,
            input: input
        )
    }

    private func signal(_ process: Process, _ number: Int32) {
        if process.isRunning { _ = Foundation.kill(process.processIdentifier, number) }
    }

    private func writeConfiguration() throws -> String {
        var lines = ["bind 127.0.0.1", "save \"\"", "appendonly no", "daemonize no", "dir \(directory.path)"]
        if options.usesTLS {
            lines += [
                "port 0", "tls-port \(port)", "tls-auth-clients no", "tls-cert-file server.pem",
                "tls-key-file server.key",
                "tls-ca-cert-file ca.pem",
            ]
        } else {
            lines.append("port \(port)")
        }
        let path = directory.appendingPathComponent("redis.conf").path
        try (lines + options.configuration).joined(separator: "\n").write(
            toFile: path,
            atomically: true,
            encoding: .utf8
        )
        return path
    }

    private func waitUntilAnswering() throws {
        for _ in 0..<1000 {
            // Also an error answer (a password is required, it is loading) is an answer.
            if let answer = try? cli("PING"), !answer.isEmpty, !answer.contains("Could not connect") { return }
            usleep(10_000)
        }
        throw TestFailure("redis-server does not answer on port \(port)")
    }

    /// A certificate for 127.0.0.1 and localhost, signed by an authority made for this server.
    private func makeCertificates() throws {
        let names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
        try names.write(toFile: directory.appendingPathComponent("names").path, atomically: true, encoding: .utf8)
        let steps = [
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority",
            "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
        ]
        for step in steps {
            try Command.run("/usr/bin/openssl", step.split(separator: " ").map(String.init), in: directory)
        }
    }
}
