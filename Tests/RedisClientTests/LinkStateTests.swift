import NIOCore
import Testing

@testable import RedisClient

@Suite("The life of a connection")
struct LinkStateTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let pong = RESPValue.status(ByteBuffer(string: "PONG"))
    private let ok = RESPValue.status(ByteBuffer(string: "OK"))
    private let broken = RedisError(.disconnected, "broken")

    private func machine(authenticates: Bool = false) -> LinkState {
        LinkState(
            timing: .init(
                connectTimeout: .seconds(1),
                backOff: .milliseconds(50)...TimeAmount.milliseconds(500),
                steadyAfter: .seconds(1)
            ),
            authenticates: authenticates
        )
    }

    private func readyMachine(at now: NIODeadline) -> LinkState {
        var state = machine()
        _ = state.started(at: now)
        _ = state.channelOpened(at: now)
        _ = state.greetingAnswered(ok, at: now, jitter: 0)
        _ = state.greetingAnswered(pong, at: now, jitter: 0)
        return state
    }

    @Test("A started connection is opened, greeted with a deadline each, and used after the pong")
    func opens() {
        var state = machine(authenticates: true)
        #expect(state.started(at: start) == .connect(deadline: start + .seconds(1)))
        let opened = start + .milliseconds(300)
        #expect(state.channelOpened(at: opened) == .greet(deadline: opened + .seconds(1)))
        #expect(state.greetingAnswered(ok, at: opened, jitter: 0) == .none)
        #expect(state.greetingAnswered(ok, at: opened, jitter: 0) == .none)
        #expect(!state.isReady)
        #expect(state.greetingAnswered(pong, at: opened, jitter: 0) == .useConnection)
        #expect(state.isReady)
    }

    @Test("The pause doubles from 50 to 500 milliseconds and jitter takes off up to half of it")
    func backsOff() {
        var state = machine()
        var now = start
        var pauses: [Int64] = []
        _ = state.started(at: now)
        for attempt in 0..<6 {
            guard case .wait(let until, _, false) = state.failed(broken, at: now, jitter: attempt == 5 ? 0 : 1) else {
                Issue.record("no wait")
                return
            }
            pauses.append((until - now).nanoseconds / 1_000_000)
            #expect(state.timerFired(at: until - .nanoseconds(1), jitter: 0) == .none)
            #expect(state.timerFired(at: until, jitter: 0) == .connect(deadline: until + .seconds(1)))
            now = until
        }
        #expect(pauses == [50, 100, 200, 400, 500, 250])
    }

    @Test("A connection that was steady starts the pauses anew, one that broke at once does not")
    func forgetsFailures() {
        var state = readyMachine(at: start)
        let steady = start + .seconds(1)
        #expect(
            state.failed(broken, at: steady, jitter: 1)
                == .wait(until: steady + .milliseconds(50), because: broken, wasReady: true)
        )
        let again = steady + .milliseconds(50)
        _ = state.timerFired(at: again, jitter: 0)
        _ = state.channelOpened(at: again)
        _ = state.greetingAnswered(ok, at: again, jitter: 0)
        _ = state.greetingAnswered(pong, at: again, jitter: 0)
        #expect(
            state.failed(broken, at: again, jitter: 1)
                == .wait(until: again + .milliseconds(100), because: broken, wasReady: true)
        )
    }

    @Test("A greeting that is not answered ends at its deadline")
    func greetingDeadline() {
        var state = machine()
        _ = state.started(at: start)
        _ = state.channelOpened(at: start)
        #expect(state.timerFired(at: start + .milliseconds(999), jitter: 0) == .none)
        guard case .wait(_, let reason, false) = state.timerFired(at: start + .seconds(1), jitter: 0) else {
            Issue.record("the deadline passed unseen")
            return
        }
        #expect(reason.code == .timeout)
    }

    @Test(
        "An answer that says Redis is of no use yet refuses the connection",
        arguments: [
            "LOADING Redis is loading", "NOAUTH Authentication required.", "MASTERDOWN Link with MASTER is down",
        ]
    )
    func refusals(answer: String) {
        var state = machine()
        _ = state.started(at: start)
        _ = state.channelOpened(at: start)
        _ = state.greetingAnswered(ok, at: start, jitter: 0)
        guard case .wait(_, let reason, false) = state.greetingAnswered(.error(answer), at: start, jitter: 0) else {
            Issue.record("\(answer) was taken for a welcome")
            return
        }
        #expect(reason.code == .refused)
        #expect(reason.description.contains(answer.prefix { $0 != " " }))
    }

    @Test("A wrong password refuses, and the server's text is not repeated")
    func wrongPassword() {
        var greeting = Greeting(authenticates: true)
        let verdict = greeting.received(.error("WRONGPASS invalid username-password pair for anna"))
        #expect(verdict == .refused(RedisError(.refused, "Redis refuses the connection: WRONGPASS.")))
    }

    @Test("A user without the right to name itself or to ping is welcome")
    func leastPrivilege() {
        var greeting = Greeting(authenticates: true)
        #expect(greeting.received(ok) == .incomplete)
        #expect(greeting.received(.error("NOPERM no permission for client|setname")) == .incomplete)
        #expect(greeting.received(.error("NOPERM no permission for ping")) == .welcome)
    }

    @Test("A stopped connection does nothing any more")
    func stops() {
        var state = readyMachine(at: start)
        #expect(state.stopped() == .close(wasReady: true))
        #expect(state.failed(broken, at: start, jitter: 0) == .none)
        #expect(state.timerFired(at: start + .seconds(9), jitter: 0) == .none)
        #expect(state.stopped() == .close(wasReady: false) || state.isStopped)
        #expect(state.started(at: start) == .connect(deadline: start + .seconds(1)))
    }
}
