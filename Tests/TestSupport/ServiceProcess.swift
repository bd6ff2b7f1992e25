import Dispatch
public import Glibc
import Synchronization

/// A program that a test started: its standard error line by line, its end, and signals to it by its process id alone.
///
/// It ends with whatever started it: with its ``TestDirectory``, where it was started in one, and with the process that
/// runs the tests in any case, also when that crashes or is killed. Everything that blocks has a thread of its own, so a
/// waiting test never holds up another one.
public final class ServiceProcess: Sendable {
    /// How a process ended.
    public enum Exit: Equatable, Sendable {
        case status(Int32)
        case signal(Int32)
    }

    private struct State {
        var id: pid_t = 0
        var failure: ServiceFailure?
        var exit: Exit?
        var lines: [String] = []
        /// Standard output and standard error: the end is complete when both are read to theirs.
        var openStreams = 2
        var isClosed: Bool { openStreams == 0 }
        var output: [UInt8] = []
    }

    public var id: pid_t { state.withLock { $0.id } }
    private let state = Mutex(State())
    /// Rings whenever a line came or the process ended.
    private let bell = Bell()

    /// - Parameter descriptors: the limit of open files of the process; nil leaves this process's own.
    public init(
        _ path: String,
        _ arguments: [String],
        environment: [String: String] = [:],
        descriptors: Int? = nil
    ) throws {
        var command = [path] + arguments
        if let descriptors { command = ["/bin/sh", "-c", "ulimit -n \(descriptors); exec \"$0\" \"$@\""] + command }
        let errors = try Self.pipe()
        let output = try Self.pipe()
        let started = DispatchSemaphore(value: 0)
        // What starts it waits for its end: the system ends it when that thread is gone, and so with this process.
        Self.thread { [command] in
            let isRunning = self.start(command, environment: environment, output: output.write, errors: errors.write)
            started.signal()
            if isRunning { self.waitForEnd() }
        }
        started.wait()
        close(errors.write)
        close(output.write)
        if let failure = state.withLock({ $0.failure }) {
            close(errors.read)
            close(output.read)
            throw failure
        }
        Self.thread { self.readLines(errors.read) }
        Self.thread { self.readOutput(output.read) }
    }

    // MARK: What it says

    /// The first line of its standard error that `matches`; throws when it ends, or the time is up, without one.
    public func line(
        within limit: Duration = .seconds(20),
        where matches: @Sendable (String) -> Bool
    ) async throws -> String {
        let found = await until(limit) { state in
            state.lines.first(where: matches) ?? (state.isClosed && state.exit != nil ? "" : nil)
        }
        guard let found, !found.isEmpty else {
            throw ServiceFailure("no such line; it said: \(log)")
        }
        return found
    }

    public var log: String { state.withLock { $0.lines.joined(separator: "\n") } }

    /// Its standard output so far.
    public var output: String { state.withLock { String(decoding: $0.output, as: UTF8.self) } }

    // MARK: Its end

    /// Does nothing when the process has ended: its id may be another's by then.
    public func signal(_ number: Int32) {
        state.withLock { state in
            if state.exit == nil { _ = kill(state.id, number) }
        }
    }

    public var isRunning: Bool { state.withLock { $0.exit == nil } }

    /// How it ended; throws when it still runs after `limit`.
    public func exit(within limit: Duration = .seconds(30)) async throws -> Exit {
        guard let exit = await until(limit, { $0.isClosed ? $0.exit : nil }) else {
            throw ServiceFailure("it still runs after \(limit); it said: \(log)")
        }
        return exit
    }

    /// Ends it at once and returns when it is gone.
    public func end() async {
        signal(SIGKILL)
        _ = try? await exit(within: .seconds(10))
    }

    private func until<Value: Sendable>(_ limit: Duration, _ check: (State) -> Value?) async -> Value? {
        let end = ContinuousClock.now + limit
        while true {
            let rung = bell.count
            if let value = state.withLock({ check($0) }) { return value }
            guard await bell.rings(after: rung, until: end) else { return state.withLock { check($0) } }
        }
    }

    // MARK: Threads

    private func readLines(_ descriptor: CInt) {
        var partial: [UInt8] = []
        Self.read(descriptor) { bytes in
            partial += bytes
            while let end = partial.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: partial[..<end], as: UTF8.self)
                partial.removeSubrange(...end)
                state.withLock { $0.lines.append(line) }
                bell.ring()
            }
        }
        state.withLock { state in
            if !partial.isEmpty { state.lines.append(String(decoding: partial, as: UTF8.self)) }
            state.openStreams -= 1
        }
        bell.ring()
    }

    private func readOutput(_ descriptor: CInt) {
        Self.read(descriptor) { bytes in state.withLock { $0.output += bytes } }
        state.withLock { $0.openStreams -= 1 }
        bell.ring()
    }

    private func start(_ command: [String], environment: [String: String], output: CInt, errors: CInt) -> Bool {
        do {
            let id = try Self.spawn(command, environment: environment, output: output, errors: errors)
            state.withLock { $0.id = id }
            return true
        } catch {
            state.withLock { $0.failure = error }
            return false
        }
    }

    private func waitForEnd() {
        let id = id
        var information = siginfo_t()
        // The process stays a zombie, and its id its own, until the end is noted.
        while waitid(P_PID, id_t(id), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        state.withLock { state in
            var status: CInt = 0
            while waitpid(id, &status, 0) < 0, errno == EINTR {}
            state.exit = status & 0x7F == 0 ? .status((status >> 8) & 0xFF) : .signal(status & 0x7F)
        }
        bell.ring()
    }

    private static func read(_ descriptor: CInt, _ take: (ArraySlice<UInt8>) -> Void) {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count > 0 { take(chunk[..<count]) }
            if count == 0 || (count < 0 && errno != EINTR) { break }
        }
        close(descriptor)
    }

    private static func thread(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        pthread_create(
            &thread,
            nil,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            },
            box.toOpaque()
        )
        pthread_detach(thread)
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) {
            self.run = run
        }
    }

    // MARK: Start

    private static let setpriv = "/usr/bin/setpriv"

    private static func pipe() throws -> (read: CInt, write: CInt) {
        var ends: [CInt] = [-1, -1]
        // Not pipe(2): closing on exec must be set with the making, or a process that another test starts just then inherits it.
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw ServiceFailure("no pipe")
        }
        return (ends[0], ends[1])
    }

    private static func spawn(
        _ command: [String],
        environment: [String: String],
        output: CInt,
        errors: CInt
    ) throws(ServiceFailure) -> pid_t {
        // util-linux, which Debian always has, asks for the signal (prctl(2), PR_SET_PDEATHSIG) and becomes the program.
        let command = access(setpriv, X_OK) == 0 ? [setpriv, "--pdeathsig", "KILL", "--"] + command : command
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
        // What this process ignores or blocks must not be inherited.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        var none = sigset_t()
        sigfillset(&all)
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        let names: [String] = ["PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR"]
        let inherited = names.compactMap { name in getenv(name).map { "\(name)=\(String(cString: $0))" } }
        var arguments = command.map { strdup($0) } + [nil]
        var variables = (inherited + environment.map { "\($0.key)=\($0.value)" }).map { strdup($0) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var id = pid_t()
        let failure = posix_spawn(&id, command[0], &actions, &attributes, &arguments, &variables)
        guard failure == 0 else {
            throw ServiceFailure("cannot start \(command[0]): \(String(cString: strerror(failure)))")
        }
        return id
    }
}

/// Why a test with a service cannot go on.
public struct ServiceFailure: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Wakes everybody who waits, from any thread; a ring that came before the wait is not missed.
final class Bell: Sendable {
    private struct State {
        var count = 0
        var next = 0
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    var count: Int { state.withLock { $0.count } }

    func ring() {
        let waiting = state.withLock { state in
            state.count += 1
            defer { state.waiting = [:] }
            return state.waiting.values.map { $0 }
        }
        for continuation in waiting { continuation.resume() }
    }

    /// False when the time was up before a ring after the `count`th.
    func rings(after count: Int, until end: ContinuousClock.Instant) async -> Bool {
        let alarm = Task {
            try await Task.sleep(until: end, clock: .continuous)
            ring()
        }
        await withCheckedContinuation { continuation in
            let isRung = state.withLock { state in
                if state.count != count { return true }
                state.next += 1
                state.waiting[state.next] = continuation
                return false
            }
            if isRung { continuation.resume() }
        }
        alarm.cancel()
        return ContinuousClock.now < end
    }
}
