import Glibc

/// Descriptors: the most of anything that a server runs out of first.
enum ProcessLimits {
    /// What the journal, Redis, sinks and the management port may need beside the clients' connections.
    private static let reserve = 64

    /// Raises the soft limit to the hard one, and says how many clients fit beside everything else. At that number the
    /// listener pauses, so a descriptor for the service's own work is always left.
    static func connections(wanted: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return wanted }
        limit.rlim_cur = limit.rlim_max
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return wanted }
        }
        let descriptors = Int(clamping: limit.rlim_cur)
        return max(1, min(wanted, descriptors - Self.open() - Self.reserve))
    }

    private static func open() -> Int {
        guard let directory = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // `.`, `..` and the directory itself.
        return max(0, count - 3)
    }
}
