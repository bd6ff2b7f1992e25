import Glibc

/// The probe as a process that a test kills.
public final class ProbeProcess {
    private let pid: pid_t
    private let output: Int32

    /// - Returns: nil when the probe cannot be started.
    public init?(_ arguments: [String]) {
        var ends: [Int32] = [-1, -1]
        guard let directory = BuiltProducts.directory, pipe2(&ends) else { return nil }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        var pointers: [UnsafeMutablePointer<CChar>?] = (["JournalProbe"] + arguments).map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var child = pid_t()
        let result = posix_spawn(&child, directory + "/JournalProbe", &actions, nil, &pointers, environ)
        close(ends[1])
        self.pid = child
        self.output = ends[0]
        guard result == 0 else { return nil }
    }

    deinit { close(self.output) }

    /// Kills it after so long, and gives the whole lines that it wrote.
    public func kill(after microseconds: UInt32) -> [Substring] {
        var bytes: [UInt8] = []
        let end = Self.now() + UInt64(microseconds)
        while Self.now() < end {
            var waiting = pollfd(fd: self.output, events: Int16(POLLIN), revents: 0)
            let left = end - min(end, Self.now())
            guard poll(&waiting, 1, Int32(left / 1000)) > 0 else { continue }
            if !self.take(into: &bytes) { break }
        }
        Glibc.kill(self.pid, SIGKILL)
        while self.take(into: &bytes) {}
        var status: Int32 = 0
        waitpid(self.pid, &status, 0)
        let text = String(decoding: bytes, as: UTF8.self)
        guard let last = text.lastIndex(of: "\n") else { return [] }
        return text[..<last].split(separator: "\n")
    }

    /// Waits until it has written something.
    public func awaitOutput() {
        var waiting = pollfd(fd: self.output, events: Int16(POLLIN), revents: 0)
        poll(&waiting, 1, 10_000)
    }

    private func take(into bytes: inout [UInt8]) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { place in
            let got = read(self.output, place.baseAddress, place.count)
            guard got > 0 else { return false }
            bytes.append(contentsOf: place[..<got])
            return true
        }
    }

    /// In microseconds.
    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
    }
}

/// Both ends closed on exec; the child gets its own by `adddup2`.
private func pipe2(_ ends: inout [Int32]) -> Bool {
    guard pipe(&ends) == 0 else { return false }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return true
}

/// Where the build put its products: beside the test bundle that is loaded into this process.
public enum BuiltProducts {
    public static let directory: String? = {
        guard let maps = fopen("/proc/self/maps", "r") else { return nil }
        defer { fclose(maps) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, maps) > 0, let text = line {
            let name = String(cString: text).split(separator: " ").last.map { $0.filter { $0 != "\n" } } ?? ""
            if name.hasSuffix(".xctest"), let slash = name.lastIndex(of: "/") { return String(name[..<slash]) }
        }
        return nil
    }()
}
