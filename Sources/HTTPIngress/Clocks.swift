import Glibc
import TrackingModel
import TrackingPipeline

/// The clocks of one event loop, read once for everything that arrived together.
///
/// The wall clock is the monotonic one plus an offset that is taken anew every second, so that one reading serves both.
struct Clocks {
    private var offset: Int64 = 0
    private var offsetTaken: UInt64 = 0

    init() { self.takeOffset() }

    mutating func read() -> Moment { self.moment(at: Self.monotonic()) }

    /// - Parameter now: what the monotonic clock said, a moment ago.
    mutating func moment(at now: UInt64) -> Moment {
        // A tick may have begun before somebody else in it looked at the clock.
        if now > self.offsetTaken &+ 1_000_000_000 { self.takeOffset() }
        return Moment(
            monotonic: now,
            wall: Timestamp(milliseconds: (Int64(truncatingIfNeeded: now) &+ self.offset) / 1_000_000)
        )
    }

    static func monotonic() -> UInt64 { self.read(CLOCK_MONOTONIC) }

    /// Both clocks at once: a tick that has been going on for a while must not push the wall clock ahead.
    private mutating func takeOffset() {
        let now = Self.monotonic()
        self.offset = Int64(truncatingIfNeeded: Self.read(CLOCK_REALTIME)) &- Int64(truncatingIfNeeded: now)
        self.offsetTaken = now
    }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
