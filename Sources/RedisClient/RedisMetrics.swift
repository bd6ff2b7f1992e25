import Metrics

extension RedisClient {
    /// Makes every series, at zero: a service that has no Redis shows them too.
    public nonisolated static func registerMetrics() {
        _ = CommandCounters()
        _ = ConnectionLosses()
    }
}

/// What became of commands. The series exist from the start; a backend gives equal labels one series.
struct CommandCounters {
    let ok = CommandCounters.counter("ok")
    /// Redis answered with an error.
    let error = CommandCounters.counter("error")
    let timeout = CommandCounters.counter("timeout")
    let disconnected = CommandCounters.counter("disconnected")
    let overloaded = CommandCounters.counter("overloaded")

    private static func counter(_ result: String) -> Counter {
        Counter(label: "adtrack_redis_commands_total", dimensions: [("result", result)])
    }

    func count(_ result: Result<RESPValue, RedisError>) {
        switch result {
        case .success(.error): error.increment()
        case .success: ok.increment()
        case .failure(let failure): count(failure)
        }
    }

    private func count(_ failure: RedisError) {
        switch failure.code {
        case .timeout: timeout.increment()
        case .overloaded: overloaded.increment()
        default: disconnected.increment()
        }
    }
}

/// Why connections ended or were not made.
struct ConnectionLosses {
    private let closed = ConnectionLosses.counter("closed")
    private let silent = ConnectionLosses.counter("silent")
    private let refused = ConnectionLosses.counter("refused")
    private let violation = ConnectionLosses.counter("violation")

    private static func counter(_ reason: String) -> Counter {
        Counter(label: "adtrack_redis_connection_failures_total", dimensions: [("reason", reason)])
    }

    func count(_ reason: RedisError) {
        switch reason.code {
        case .timeout: silent.increment()
        case .refused: refused.increment()
        case .violation: violation.increment()
        default: closed.increment()
        }
    }
}
