import AWSTransport
import Foundation
import Logging

/// What it costs to get an event to Kinesis: building the body, signing, sending and reading the answer, against a server
/// of a process of its own that reads nothing.
enum KinesisBenchmarks {
    private static let recordsPerCall = 500
    /// An event with a browser's user agent.
    private static let eventBytes = 250
    private static let key = Array("0199f3a0-7c1e-7d52-8f2a-1b3c4d5e6f70".utf8)
    private static let event = (0..<Self.eventBytes).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    static func run() async {
        Table.print("Kinesis, per event of \(self.eventBytes) bytes in calls of \(self.recordsPerCall)")
        Table.print(
            Measurement("  building the body", operations: 100_000) { count in
                var bytes = 0
                for _ in 0..<(count / self.recordsPerCall) { bytes &+= self.body().bytes }
                return bytes
            }
        )
        do { try await self.sending() } catch { Table.print("  sending: \(error)") }
    }

    private static func body() -> PutRecordsBody {
        var body = PutRecordsBody(expectedBytes: self.recordsPerCall * (self.eventBytes + self.key.count))
        self.event.withUnsafeBytes { event in
            self.key.withUnsafeBytes { key in
                for _ in 0..<self.recordsPerCall where body.append(data: event, key: key) != .fitted {
                    preconditionFailure("a benchmark's own event")
                }
            }
        }
        return body
    }

    /// Everything, from the events to the outcome of each; the CPU is this process's alone.
    private static func sending() async throws {
        let server = try self.server()
        defer { server.process.terminate() }
        let transport = try Transport()
        let logger = Logger(label: "benchmark")
        let endpoint = try AWSEndpoint(.kinesis, region: "us-east-1", endpoint: "http://127.0.0.1:\(server.port)")
        let identity = AWSCredentials(accessKeyID: "AKID", secretAccessKey: "secret", sessionToken: "token")
        let client = KinesisClient(endpoint, transport, Credentials(identity, logger: logger), logger: logger)
        _ = try await self.send(20, client)
        for inFlight in [1, 4] {
            let (wall, cpu) = try await self.send(400, client, inFlight: inFlight)
            self.show("  events to outcomes, \(inFlight) in flight", wall: wall, cpu: cpu)
        }
        await transport.shutdown()
        try await DeliveryBenchmarks.run(port: server.port)
    }

    /// - Parameters: nanoseconds of an event.
    static func show(_ what: String, wall: Double, cpu: Double) {
        let rate = Int((1_000_000 / cpu).rounded())
        Table.print(
            "\(what): \(Int(wall.rounded())) ns of time, \(Int(cpu.rounded())) ns of CPU an event: "
                + "\(rate) thousand events/s and core"
        )
    }

    /// - Returns: nanoseconds of an event.
    private static func send(
        _ calls: Int,
        _ client: KinesisClient,
        inFlight: Int = 1
    ) async throws -> (wall: Double, cpu: Double) {
        let (start, cpu) = (ContinuousClock.now, self.cpuNanoseconds())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<inFlight {
                group.addTask {
                    for _ in 0..<(calls / inFlight) {
                        guard case .records = await client.putRecords("clicks", self.body()) else {
                            throw CocoaError(.fileReadUnknown)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        let events = Double(calls * self.recordsPerCall)
        let wall = (ContinuousClock.now - start) / .nanoseconds(1)
        return (wall / events, Double(self.cpuNanoseconds() - cpu) / events)
    }

    /// Of this process so far.
    static func cpuNanoseconds() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + $1.tv_sec * 1_000_000_000 + $1.tv_usec * 1_000 }
    }

    private static func server() throws -> (process: Process, port: Int) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(
            path: "../StandIns/kinesis.py"
        )
        process.arguments = [script.path, "--canned", "\(self.recordsPerCall)"]
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = Pipe()
        try process.run()
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = Int(line.dropFirst("port ".count).prefix { $0.isNumber }) else {
            throw CocoaError(.fileReadUnknown)
        }
        return (process, port)
    }
}
