public import Foundation

/// A test cannot be carried out, and why.
public struct TestFailure: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// A port of the loopback interface that nobody listens on at this moment.
public enum FreePort {
    public static func next() throws -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw TestFailure("no socket") }
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(socket, generic, length) == 0 && getsockname(socket, generic, &length) == 0
            }
        }
        guard bound else { throw TestFailure("no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

/// Runs a program to its end.
public enum Command {
    /// - Returns: its standard output without the last line end.
    @discardableResult
    public static func run(
        _ path: String,
        _ arguments: [String],
        input: Data? = nil,
        in directory: URL? = nil
    ) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = directory
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle(forWritingAtPath: "/dev/null")
        let stdin = Pipe()
        process.standardInput = stdin
        try process.run()
        // On a thread of its own: the program may want its output read before it takes all of its input.
        let writing = stdin.fileHandleForWriting
        Thread.detachNewThread {
            if let input { try? writing.write(contentsOf: input) }
            try? writing.close()
        }
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let text = String(decoding: bytes, as: UTF8.self)
        guard process.terminationStatus == 0 else {
            throw TestFailure("\(path) \(arguments.first ?? "") ended with \(process.terminationStatus): \(text)")
        }
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }
}

/// A value that several threads of a test share.
public final class Locked<Value>: @unchecked Sendable {
    // Every access holds the lock.
    private let lock = NSLock()
    private var value: Value

    public init(_ value: Value) { self.value = value }

    public func withLock<Outcome>(_ body: (inout Value) throws -> Outcome) rethrows -> Outcome {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }

    public func get() -> Value { withLock { $0 } }
    public func set(_ new: Value) { withLock { $0 = new } }

    public func take<Wrapped>() -> Value where Value == Wrapped? {
        withLock { value in
            defer { value = nil }
            return value
        }
    }
}

/// How busy the machine is with other things while a test measures time.
public enum Machine {
    /// By how much limits of time are stretched: 1 on a quiet machine, more where more wants to run than there are cores.
    public static var stretch: Double {
        var load = 0.0
        guard getloadavg(&load, 1) == 1 else { return 1 }
        return max(1, 2 * load / Double(ProcessInfo.processInfo.activeProcessorCount))
    }
}

/// Waits until `condition` holds, looking again every millisecond; false after `limit`, stretched on a busy machine.
public func eventually(
    within limit: Duration = .seconds(5),
    isolation: isolated (any Actor)? = #isolation,
    _ condition: () async throws -> Bool
) async rethrows -> Bool {
    let end = ContinuousClock.now + limit * Machine.stretch
    while ContinuousClock.now < end {
        if try await condition() { return true }
        try? await Task.sleep(for: .milliseconds(1))
    }
    return try await condition()
}
