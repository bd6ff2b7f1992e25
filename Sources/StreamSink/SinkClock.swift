import Glibc

/// The clocks of a sink.
enum SinkClock {
    static func milliseconds() -> UInt64 { Self.read(CLOCK_MONOTONIC) / 1_000_000 }
    static func nanoseconds() -> UInt64 { Self.read(CLOCK_MONOTONIC) }
    static func wallMilliseconds() -> UInt64 { Self.read(CLOCK_REALTIME) / 1_000_000 }
    /// Time that the calling thread has had on a processor.
    static func threadNanoseconds() -> UInt64 { Self.read(CLOCK_THREAD_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec)
    }
}
