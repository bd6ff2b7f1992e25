import Histogram

/// The counts and latencies of one run or of one second of it; belongs to one event loop.
struct LoadTally {
    /// Requests that were due, sent or not.
    var planned = 0
    var sent = 0
    var answered = 0
    var accepted = 0
    /// By status code, 100 to 999.
    private(set) var status: [Int: Int] = [:]
    private(set) var failures: [LoadFailure: Int] = [:]
    /// Sent more than 1 ms after they were due although a connection was free: the generator's own fault.
    var late = 0
    /// Sent more than 1 ms after they were due since every connection was waiting for an answer.
    var waited = 0
    var reconnects = 0
    /// Nanoseconds from the moment a request was due until its answer was read.
    private var latency: Histogram<UInt64>

    /// An hour in nanoseconds: what takes longer is counted as an hour.
    private static let longestLatency: UInt64 = 3_600_000_000_000

    init() {
        latency = Histogram(highestTrackableValue: Self.longestLatency, numberOfSignificantValueDigits: .three)
    }

    var errors: Int { failures.values.reduce(0, +) }

    mutating func answer(status code: Int, after nanoseconds: UInt64, tracks: Bool) {
        answered += 1
        status[code, default: 0] += 1
        if tracks, code == 200 { accepted += 1 }
        latency.record(min(nanoseconds, Self.longestLatency))
    }

    mutating func failed(_ failure: LoadFailure, count: Int = 1) {
        if count > 0 { failures[failure, default: 0] += count }
    }

    /// Milliseconds below which `percent` of the answers came; 0 without answers.
    func milliseconds(at percent: Double) -> Double {
        latency.totalCount == 0 ? 0 : Double(latency.valueAtPercentile(percent)) / 1_000_000
    }

    var longestMilliseconds: Double {
        latency.totalCount == 0 ? 0 : Double(latency.maxRecorded) / 1_000_000
    }

    /// Starts over without giving the histogram's memory back.
    mutating func reset() {
        var emptied = latency
        emptied.reset()
        self = LoadTally(latency: emptied)
    }

    private init(latency: Histogram<UInt64>) {
        self.latency = latency
    }
}

/// Why a request that was due has no answer.
public enum LoadFailure: String, Sendable, CaseIterable {
    /// The connection was closed in good order before the answer.
    case closed
    /// The connection was reset, or broke in another way, before the answer.
    case reset
    /// The answer did not come within the timeout.
    case timeout
    /// What came was no HTTP/1 response with a length.
    case malformed
    /// No connection was open when it was due.
    case notConnected
    /// It was due, and no connection became free for it before the run ended.
    case unsent
}
