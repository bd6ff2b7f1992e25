import NIOCore
import Reactor

/// One run on one event loop: sends each request when it is due, whatever the answers do, and counts what comes back.
///
/// Open loop: the schedule is fixed before the first answer. A request that finds no free connection is sent later, and its
/// latency still counts from the moment it was due, so a service that stalls cannot hide what its stall did to others.
final class LoadRun {
    /// How late a request may leave before it is counted; also the longest pause of the sender while something is due.
    static let tolerance = TimeAmount.milliseconds(1)
    /// The sender wakes at most this often: requests due within it leave together.
    static let resolution = TimeAmount.microseconds(100)
    /// How often timeouts are looked for.
    static let inspection = TimeAmount.milliseconds(50)

    private let plan: LoadPlan
    private let loop: ReactorLoop
    private let done: EventLoopPromise<LoadResult>
    private let progress: @Sendable (LoadProgress) -> Void
    private let connector: LoadConnector
    private var writer: RequestWriter
    private var schedule: LoadProfile.Schedule
    private var record: AcceptedRecord?

    private var total = LoadTally()
    private var second = LoadTally()
    private var connections: [LoadConnection?]
    /// Connections without an unanswered request, the one that waits longest first.
    private var idle: Ring<Int>
    /// Whether an index stands in `idle`: a connection that was closed and opened again must not stand there twice.
    private var isQueued: [Bool]
    /// Where the search for a connection with room goes on when none is idle.
    private var turn = 0
    private var outstanding = 0
    private var open = 0
    /// The last attempt to open a connection failed: what is due now has nothing to wait for.
    private var isRefused = false
    private var dirty: [LoadConnection] = []
    /// True from the moment a due request found no room until nothing is due.
    private var isStarved = false

    private enum State {
        case connecting
        case running
        case ended
    }
    private var state = State.connecting
    private var start = NIODeadline.uptimeNanoseconds(0)
    private var lastAnswer: NIODeadline?
    private var cpuAtStart = 0.0
    private let alarm: Alarm
    private var isArmed = false
    private var inspector: RepeatedTask?
    private var isTurnEnding = false
    /// Memory for reading, lent to one connection at a time.
    var spare = ByteBuffer()
    private var secondsShown = 0

    init(
        plan: LoadPlan,
        address: SocketAddress,
        loop: ReactorLoop,
        done: EventLoopPromise<LoadResult>,
        progress: @escaping @Sendable (LoadProgress) -> Void
    ) throws {
        self.plan = plan
        self.loop = loop
        self.done = done
        self.progress = progress
        connector = LoadConnector(address: address)
        writer = RequestWriter(mix: plan.mix, target: plan.target, seed: .random(in: .min ... .max))
        schedule = plan.profile.schedule()
        connections = Array(repeating: nil, count: plan.connections)
        idle = Ring(capacity: plan.connections)
        isQueued = Array(repeating: false, count: plan.connections)
        if let path = plan.recordPath { record = try AcceptedRecord(path: path) }
        alarm = try Alarm(on: loop)
    }

    // MARK: Connections

    func begin() {
        alarm.rang = { [unowned self] in
            isArmed = false
            pump(now: .now())
        }
        for index in connections.indices { connector.want(index) }
        connectNext()
    }

    private func connectNext() {
        while state != .ended, let index = connector.next() {
            do {
                let socket = try connector.dial()
                let pipeline = plan.pipeline
                let connection = LoadConnection(index: index, pipeline: pipeline, socket: socket, run: self, on: loop)
                connections[index] = connection
                try connection.begin()
            } catch {
                // Not at once: where all are refused, each would begin the next within itself.
                soon { $0.notOpened(index, error) }
            }
        }
    }

    private func soon(_ body: @escaping @Sendable (LoadRun) -> Void) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.execute { body(bound.value) }
    }

    func notOpened(_ index: Int, _ failure: any Error) {
        connector.finished(index, failure: failure)
        connections[index] = nil
        guard state != .ended else { return }
        isRefused = true
        if state == .running { retry(index) }
        startWhenConnected()
        connectNext()
    }

    private func startWhenConnected() {
        guard state == .connecting, connector.isQuiet else { return }
        if open == 0 { return fail(connector.reason(for: plan.target)) }
        startSchedule()
    }

    private func retry(_ index: Int) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: connector.pause(before: index)) {
            bound.value.connector.want(index)
            bound.value.connectNext()
        }
    }

    func opened(_ connection: LoadConnection) {
        connector.finished(connection.index, failure: nil)
        guard state != .ended else { return connection.close(.closed) }
        open += 1
        isRefused = false
        hasRoom(connection)
        startWhenConnected()
        pump(now: .now())
        connectNext()
    }

    func closed(_ connection: LoadConnection) {
        connections[connection.index] = nil
        open -= 1
        startWhenConnected()
        guard state == .running else { return }
        count { $0.reconnects += 1 }
        if connection.wasDropped {
            // It would be so again at once: as good as refused.
            isRefused = true
            connector.refused(connection.index)
            retry(connection.index)
        } else {
            connector.welcomed(connection.index)
            connector.want(connection.index)
            connectNext()
        }
    }

    // MARK: Sending

    private func startSchedule() {
        state = .running
        start = .now()
        cpuAtStart = processorSeconds()
        for (index, connection) in connections.enumerated() where connection == nil { retry(index) }
        let bound = NIOLoopBound(self, eventLoop: loop)
        inspector = loop.scheduleRepeatedTask(initialDelay: Self.inspection, delay: Self.inspection) { _ in
            bound.value.inspect()
        }
        pump(now: start)
    }

    /// Sends everything that is due and can be sent, and sees to it that it is called again.
    private func pump(now: NIODeadline) {
        guard state == .running else { return }
        let elapsed = (now - start).seconds
        while !schedule.isOver, schedule.next <= elapsed {
            if open == 0, isRefused {
                count { $0.planned += 1 }
                failed(.notConnected, count: 1, wasSent: false)
            } else if let connection = takeConnection() {
                send(on: connection, lag: elapsed - schedule.next, now: now)
            } else {
                isStarved = true
                break
            }
            schedule.advance()
        }
        for connection in dirty { connection.flush() }
        dirty.removeAll(keepingCapacity: true)
        if schedule.isOver || schedule.next > elapsed { isStarved = false }
        if schedule.isOver, outstanding == 0 { return end() }
        arm(now: now)
    }

    private func takeConnection() -> LoadConnection? {
        while let index = idle.popFirst() {
            isQueued[index] = false
            if let connection = connections[index], connection.isIdle { return connection }
        }
        guard plan.pipeline > 1 else { return nil }
        for _ in connections.indices {
            turn = (turn + 1) % connections.count
            if let connection = connections[turn], connection.hasRoom { return connection }
        }
        return nil
    }

    private func send(on connection: LoadConnection, lag: Double, now: NIODeadline) {
        if !connection.hasUnsent { dirty.append(connection) }
        connection.send(&writer, due: start + .seconds(schedule.next), now: now)
        outstanding += 1
        let isLate = lag > Self.tolerance.seconds
        count {
            $0.planned += 1
            $0.sent += 1
            if isLate, isStarved { $0.waited += 1 }
            if isLate, !isStarved { $0.late += 1 }
        }
    }

    /// While requests wait for room it is mostly the answers that call ``pump(now:)``.
    private func arm(now: NIODeadline) {
        guard !isArmed, !schedule.isOver else { return }
        let due = start + .seconds(schedule.next)
        let soonest = now + (isStarved ? Self.tolerance : Self.resolution)
        isArmed = true
        alarm.ring(at: max(due, soonest))
    }

    // MARK: Answers

    func answered(_ request: LoadConnection.Pending, status: Int, body: UnsafeRawBufferPointer, now: NIODeadline) {
        outstanding -= 1
        lastAnswer = now
        let nanoseconds = UInt64(max(0, (now - request.due).nanoseconds))
        count { $0.answer(status: status, after: nanoseconds, tracks: request.tracks) }
        if status == 200, request.tracks { record?.note(body) }
    }

    func hasRoom(_ connection: LoadConnection) {
        if connection.isIdle, !isQueued[connection.index] { isQueued[connection.index] = idle.append(connection.index) }
    }

    /// When all answers of this turn have been read, their ids go to the file, and their connections to what is due.
    func hasRead() {
        guard !isTurnEnding, record?.hasPending == true || isStarved || schedule.isOver else { return }
        isTurnEnding = true
        soon { run in
            run.isTurnEnding = false
            run.record?.flush()
            run.pump(now: .now())
        }
    }

    func failed(_ failure: LoadFailure, count number: Int, wasSent: Bool = true) {
        if wasSent { outstanding -= number }
        count { $0.failed(failure, count: number) }
    }

    private func count(_ change: (inout LoadTally) -> Void) {
        change(&total)
        change(&second)
    }

    // MARK: Time and end

    private func inspect() {
        guard state == .running else { return }
        let now = NIODeadline.now()
        let oldest = now - TimeAmount(plan.timeout)
        for case let connection? in connections {
            if let sent = connection.oldestSent, sent < oldest { connection.close(.timeout) }
        }
        let elapsed = (now - start).seconds
        showSeconds(elapsed)
        if elapsed > schedule.end + plan.timeout / .seconds(1) { giveUpBacklog() }
        if record?.failure != nil || (schedule.isOver && outstanding == 0) { end() }
    }

    private func showSeconds(_ elapsed: Double) {
        guard Int(elapsed) > secondsShown else { return }
        secondsShown = Int(elapsed)
        progress(LoadProgress(second: secondsShown, tally: second))
        second.reset()
    }

    /// What is due and still not sent stays unsent; what was sent has its timeout to be answered.
    private func giveUpBacklog() {
        while !schedule.isOver {
            count { $0.planned += 1 }
            failed(.unsent, count: 1, wasSent: false)
            schedule.advance()
        }
    }

    /// Ends the schedule before its time; what was sent is still waited for, what was not due is not counted.
    func stop() {
        if state == .connecting { return fail(LoadError("stopped before the first request was sent")) }
        let now = NIODeadline.now()
        schedule.cut(at: (now - start).seconds)
        pump(now: now)
    }

    private func end() {
        guard state == .running else { return }
        state = .ended
        let elapsed = (NIODeadline.now() - start).seconds
        // A service that was behind at the schedule's end is measured up to its last answer.
        let seconds = max(schedule.end, lastAnswer.map { ($0 - start).seconds } ?? 0)
        // Something is left only where the record could not be written.
        schedule.cut(at: elapsed)
        giveUpBacklog()
        shutDown(unanswered: .timeout)
        if let failure = record?.failure { return done.fail(failure) }
        done.succeed(
            LoadResult(tally: total, plan: plan, seconds: seconds, cpuSeconds: processorSeconds() - cpuAtStart)
        )
    }

    private func fail(_ error: any Error) {
        guard state != .ended else { return }
        state = .ended
        shutDown(unanswered: .closed)
        done.fail(error)
    }

    private func shutDown(unanswered: LoadFailure) {
        alarm.end()
        inspector?.cancel()
        for case let connection? in connections { connection.close(unanswered) }
        record?.flush()
    }
}

@available(*, unavailable)
extension LoadRun: Sendable {}

extension TimeAmount {
    fileprivate var seconds: Double { Double(nanoseconds) / 1_000_000_000 }

    /// Rounded to a nanosecond; a run is at most a day, so nothing overflows.
    fileprivate static func seconds(_ seconds: Double) -> TimeAmount {
        .nanoseconds(Int64((seconds * 1_000_000_000).rounded()))
    }
}
