import Testing

@testable import StreamSink

/// A sink's thread by itself: time passes as it works and rests.
private struct Thread {
    var pace = CatchUpPace()
    var moment = CatchUpPace.Moment(clock: 1_000_000_000, worked: 0, accepted: 10_000_000, taken: 0)
    var rested: UInt64 = 0
    private var fraction = 0.0

    init() { _ = self.pace.rest(at: self.moment) }

    /// Works so long, of which it has the core for a part, and rests as it is told.
    mutating func work(
        _ milliseconds: Double,
        onCore share: Double = 1,
        taking taken: UInt64,
        accepting perSecond: Double
    ) {
        self.pass(UInt64(milliseconds * 1_000_000), perSecond)
        self.moment.worked += UInt64(milliseconds * share * 1_000_000)
        self.moment.taken += taken
        let rest = self.pace.rest(at: self.moment)
        self.rested += rest
        self.pass(rest, perSecond)
    }

    private mutating func pass(_ nanoseconds: UInt64, _ perSecond: Double) {
        self.moment.clock += nanoseconds
        self.fraction += perSecond * Double(nanoseconds) / 1_000_000_000
        self.moment.accepted += UInt64(self.fraction)
        self.fraction -= self.fraction.rounded(.down)
    }

    var seconds: Double { Double(self.moment.clock - 1_000_000_000) / 1_000_000_000 }
    var shareRested: Double { Double(self.rested) / 1_000_000_000 / self.seconds }
    var takenPerSecond: Double { Double(self.moment.taken) / self.seconds }
}

@Suite("The pace of a sink that catches up")
struct CatchUpPaceTests {
    @Test("it rests seven eighths of the time while events are accepted")
    func givesWay() {
        var thread = Thread()
        for _ in 0..<1_000 { thread.work(1, taking: 2_000, accepting: 50_000) }
        #expect(thread.shareRested > 0.865)
        #expect(thread.shareRested <= 0.875)
    }

    @Test("where nothing is accepted it doesn't rest")
    func alone() {
        var thread = Thread()
        for _ in 0..<100 { thread.work(1, taking: 2_000, accepting: 0) }
        #expect(thread.rested == 0)
    }

    @Test(
        "it takes in a quarter more than what comes, however much that is",
        arguments: [1_000, 20_000, 60_000, 79_000]
    )
    func gains(perSecond: Double) {
        var thread = Thread()
        // At most 100,000 a second.
        for _ in 0..<2_000 { thread.work(1, taking: 100, accepting: perSecond) }
        #expect(thread.takenPerSecond > 1.24 * perSecond)
        #expect(thread.takenPerSecond >= 12_400)
    }

    @Test("nor does it rest where it can hardly keep up, or not at all", arguments: [81_000, 100_000, 200_000])
    func falling(perSecond: Double) {
        var thread = Thread()
        for _ in 0..<1_000 { thread.work(1, taking: 100, accepting: perSecond) }
        #expect(thread.shareRested < 0.02)
    }

    @Test("a sink that has what there is doesn't rest")
    func upToDate() {
        var thread = Thread()
        // It waits for most of the time, and takes what has come meanwhile.
        for _ in 0..<1_000 { thread.work(10, onCore: 0.1, taking: 500, accepting: 50_000) }
        #expect(thread.rested == 0)
    }

    @Test("time in which it has lost the core counts as work to the bound, not to the rest")
    func preempted() {
        var thread = Thread()
        for _ in 0..<1_000 { thread.work(2, onCore: 0.5, taking: 1_000, accepting: 50_000) }
        // 7 ms for each ms of the core's time, after 2 ms of work.
        #expect(thread.shareRested > 0.77)
        #expect(thread.shareRested <= 0.778)
    }

    @Test("events that come in batches are still somebody to give way to")
    func batches() {
        var thread = Thread()
        for number in 0..<2_000 { thread.work(0.25, taking: 500, accepting: number % 20 == 0 ? 400_000 : 0) }
        #expect(thread.shareRested > 0.84)
    }

    @Test("after a sleep it begins anew: what came meanwhile says nothing of what comes now")
    func sleeps() {
        var thread = Thread()
        thread.work(60_000, onCore: 0.001, taking: 0, accepting: 10_000)
        #expect(thread.rested == 0)
        thread.work(1, taking: 2_000, accepting: 10_000)
        #expect(thread.rested == 7_000_000)
    }

    @Test("no rest is longer than its bound, and none follows less work than a stint")
    func bounds() {
        var thread = Thread()
        thread.work(20, taking: 1_000_000, accepting: 1_000)
        #expect(thread.rested == CatchUpPace.longestRest)
        thread.work(Double(CatchUpPace.stint) / 1_000_000 - 0.01, taking: 1_000, accepting: 1_000)
        #expect(thread.rested == CatchUpPace.longestRest)
    }
}
