import Glibc

/// The clocks of a sink, in milliseconds.
enum SinkClock {
    static func milliseconds() -> UInt64 { Self.read(CLOCK_MONOTONIC) }
    static func wallMilliseconds() -> UInt64 { Self.read(CLOCK_REALTIME) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(clamping: time.tv_sec) &* 1000 &+ UInt64(clamping: time.tv_nsec / 1_000_000)
    }
}
