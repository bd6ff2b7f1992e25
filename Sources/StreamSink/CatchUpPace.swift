import EventJournal
import Glibc
import NIOCore

/// How much of its time a sink that catches up leaves to the threads that answer requests.
///
/// A backlog would take all that a core has to give, and each answer would wait for its turn, whatever the priorities say: the
/// thread that waits for the disk gives its turn away at every sync. So the sink rests seven times as long as it has worked,
/// and 10 ms at most, for as long as events are accepted, but never so long that it would take in less than a quarter more
/// than what comes.
struct CatchUpPace: Sendable {
    /// What a rest is reckoned from; times in nanoseconds.
    struct Moment: Sendable {
        /// Monotonic.
        var clock: UInt64
        /// Time that the sink's thread has had on a processor.
        var worked: UInt64
        /// The sequence of the next record that will be accepted.
        var accepted: UInt64
        /// Records that the sink has taken so far.
        var taken: UInt64
    }

    /// What is worked at one go, at least: nothing that is begun is interrupted.
    static let stint: UInt64 = 250_000
    /// Also what a shutdown may wait for it.
    static let longestRest: UInt64 = 10_000_000
    /// Events come in batches: what comes is reckoned over this time at least. Whoever has slept longer begins anew.
    static let window: UInt64 = 20_000_000
    /// Rest for each unit of work.
    private static let share: UInt64 = 7
    /// How much faster than what comes it goes at least.
    private static let gain = 1.25

    /// What went on in some time, in nanoseconds and records.
    private struct Tally {
        var time: UInt64 = 0
        var rested: UInt64 = 0
        var accepted: UInt64 = 0
        var taken: UInt64 = 0

        static func + (one: Self, other: Self) -> Self {
            Self(
                time: one.time &+ other.time,
                rested: one.rested &+ other.rested,
                accepted: one.accepted &+ other.accepted,
                taken: one.taken &+ other.taken
            )
        }
    }

    /// When the last stint ended.
    private var last: Moment?
    private var rest: UInt64 = 0
    /// The last stint was followed by a rest.
    var gaveWay: Bool { self.rest > 0 }
    private var before = Tally()
    private var current = Tally()

    init() {}

    /// How long to rest now; 0: go on.
    mutating func rest(at moment: Moment) -> UInt64 {
        guard let last else {
            self.last = moment
            return 0
        }
        let worked = moment.worked &- last.worked
        guard worked >= Self.stint else { return 0 }
        defer { self.last = moment }
        guard moment.clock &- last.clock &- self.rest < 2 &* Self.window else {
            (self.before, self.current, self.rest) = (Tally(), Tally(), 0)
            return 0
        }
        let stint = Tally(
            time: moment.clock &- last.clock,
            rested: self.rest,
            accepted: moment.accepted &- last.accepted,
            taken: moment.taken &- last.taken
        )
        if self.current.time >= Self.window { (self.before, self.current) = (self.current, Tally()) }
        self.current = self.current + stint
        self.rest = min(worked &* Self.share, self.bound(after: stint), Self.longestRest)
        return self.rest
    }

    /// Nothing is rested for any more.
    mutating func end() -> UInt64 {
        self.rest = 0
        return 0
    }

    /// How long a rest may be, lest more comes than is taken.
    private func bound(after stint: Tally) -> UInt64 {
        let sum = self.before + self.current
        // Nobody to give way to, as far as a sink can see.
        guard sum.accepted > 0 else { return 0 }
        // As the kernel's scheduler takes turns, work is longer than what the thread had of the core.
        let work = Double(sum.time &- sum.rested)
        let longest = Double(sum.time) * Double(sum.taken) / (Self.gain * Double(sum.accepted))
        guard work > 0, longest > work else { return 0 }
        let rest = (longest - work) / work * Double(stint.time &- stint.rested)
        return UInt64(min(rest, Double(Self.longestRest)))
    }
}

extension CatchUpPace.Moment {
    /// On the sink's thread.
    static func now(_ reader: JournalReader, taken: UInt64) -> Self {
        Self(
            clock: SinkClock.nanoseconds(),
            worked: SinkClock.threadNanoseconds(),
            accepted: reader.position &+ reader.available,
            taken: taken
        )
    }
}
