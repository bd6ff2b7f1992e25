import NIOCore
import Testing

@testable import Reactor

@Suite("Timers")
struct TimersTests {
    private func at(_ nanoseconds: UInt64) -> NIODeadline { .uptimeNanoseconds(nanoseconds) }

    @Test("the soonest is due first, equal ones in the order in which they came, none before its time")
    func order() {
        var timers = Timers<String>()
        for (time, name) in [(30, "c"), (10, "a"), (20, "b1"), (20, "b2"), (40, "d"), (20, "b3")] {
            _ = timers.add(at: self.at(UInt64(time)), name)
        }
        #expect(timers.next == self.at(10))
        #expect(timers.takeDue(self.at(9)) == nil)
        var due: [String] = []
        while let name = timers.takeDue(self.at(30)) { due.append(name) }
        #expect(due == ["a", "b1", "b2", "b3", "c"])
        #expect(timers.next == self.at(40))
        #expect(timers.takeAll() == ["d"])
        #expect(timers.next == nil)
    }

    @Test("what is cancelled is not due, and nothing else is lost")
    func cancel() {
        var timers = Timers<Int>()
        let ids = (0..<10).map { timers.add(at: self.at(UInt64($0 / 2)), $0) }
        for index in stride(from: 0, to: 10, by: 3) { timers.cancel(ids[index]) }
        timers.cancel(99)
        #expect(timers.takeAll() == [1, 2, 4, 5, 7, 8])
    }
}
