import Testing

@testable import StreamSource

@Suite("What a consumer does next")
struct ConsumerMachineTests {
    private typealias Machine = ConsumerMachine

    @Test("A batch without fault is read, stored, committed, and the next one read")
    func straight() {
        var machine = Machine()
        #expect(machine.began() == .perform(.read))
        #expect(machine.succeeded(.read(records: 3, damaged: 0)) == .perform(.store))
        #expect(machine.succeeded(.stored) == .perform(.commit))
        #expect(machine.succeeded(.committed) == .perform(.read))
        #expect(machine.succeeded(.readNothing) == .perform(.read))
        #expect(machine.succeeded(.exhausted) == .end)
    }

    @Test("Dead letters are kept before anything is stored, refused rows before they are left out")
    func deadLetters() {
        var machine = Machine()
        #expect(machine.succeeded(.read(records: 3, damaged: 1)) == .perform(.keep))
        #expect(machine.succeeded(.kept) == .perform(.store))
        #expect(machine.succeeded(.refused) == .perform(.keep))
        #expect(machine.succeeded(.kept) == .perform(.store))
        #expect(machine.succeeded(.stored) == .perform(.commit))
    }

    @Test("The same step is tried again after pauses that double to a bound, shortened by up to a half")
    func pauses() {
        var machine = Machine(.init(first: .milliseconds(100), longest: .milliseconds(500)))
        _ = machine.succeeded(.read(records: 1, damaged: 0))
        #expect(machine.failed(at: .zero, jitter: 1) == .pause(.milliseconds(100)))
        #expect(machine.pausePassed() == .perform(.store))
        #expect(machine.failed(at: .zero, jitter: 0) == .pause(.milliseconds(100)))
        #expect(machine.failed(at: .zero, jitter: 1) == .pause(.milliseconds(400)))
        for _ in 0..<100 { #expect(machine.failed(at: .zero, jitter: 1) == .pause(.milliseconds(500))) }
        #expect(machine.succeeded(.stored) == .perform(.commit))
        #expect(machine.failed(at: .zero, jitter: 1) == .pause(.milliseconds(100)))
        #expect(machine.pausePassed() == .perform(.commit))
    }

    @Test("Asked to stop, it brings what was read to its end and reads no more")
    func stopping() {
        var machine = Machine()
        _ = machine.succeeded(.read(records: 1, damaged: 0))
        machine.stopRequested(drainEnd: .seconds(10))
        #expect(machine.failed(at: .seconds(1), jitter: 1) == .pause(.milliseconds(50)))
        #expect(machine.pausePassed() == .perform(.store))
        #expect(machine.succeeded(.stored) == .perform(.commit))
        #expect(machine.succeeded(.committed) == .end)
    }

    @Test("Asked to stop, it gives up at the drain's end, and at once where there is nothing to bring to an end")
    func givingUp() {
        var machine = Machine()
        _ = machine.succeeded(.read(records: 1, damaged: 0))
        machine.stopRequested(drainEnd: .seconds(10))
        #expect(machine.failed(at: .seconds(10), jitter: 1) == .end)
        var idle = Machine()
        #expect(idle.failed(at: .zero, jitter: 1) == .pause(.milliseconds(50)))
        idle.stopRequested(drainEnd: .seconds(10))
        #expect(idle.pausePassed() == .end)
        #expect(idle.failed(at: .zero, jitter: 1) == .end)
    }
}
