import Foundation
import TestSupport

/// `openssl s_server` with a certificate for 127.0.0.1 that an authority of its own signed.
///
/// - Parameter body: gets its port and the file of the authority.
func withTLSServer<Outcome>(
    isolation: isolated (any Actor)? = #isolation,
    _ body: (_ port: Int, _ authority: String) async throws -> Outcome
) async throws -> Outcome {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("adtrack-tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try "subjectAltName=IP:127.0.0.1".write(
        to: directory.appendingPathComponent("names"),
        atomically: true,
        encoding: .utf8
    )
    let steps = [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    ]
    for step in steps {
        try Command.run("/usr/bin/openssl", step.split(separator: " ").map(String.init), in: directory)
    }
    let port = try FreePort.next()
    let server = Process()
    server.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    server.currentDirectoryURL = directory
    server.arguments = [
        "s_server", "-accept", "127.0.0.1:\(port)", "-cert", "server.pem", "-key", "server.key", "-www",
    ]
    server.standardInput = Pipe()
    server.standardOutput = FileHandle(forWritingAtPath: "/dev/null")
    server.standardError = FileHandle(forWritingAtPath: "/dev/null")
    try server.run()
    defer {
        if server.isRunning { kill(server.processIdentifier, SIGKILL) }
        server.waitUntilExit()
    }
    guard await eventually({ (try? RawConnection(port: port)) != nil }) else { throw TestFailure("s_server is silent") }
    return try await body(port, directory.appendingPathComponent("ca.pem").path)
}
