import NIOCore
import Testing

@testable import StreamSink

private let down = PutOutcome.unavailable(Unavailability("down"))

@Suite struct DeliveryMachineTests {
    @Test("a full batch goes at once, up to as many as may be in flight; then it rests until something ends")
    func fullBatches() throws {
        var machine = DeliveryMachine({ limits, _, _ in limits.batchesInFlight = 3 })
        var source = RecordSource(10_000)
        for number in 0..<3 {
            let batch = try #require(machine.nextCall(&source, at: 0))
            #expect(batch.records.map(\.sequence) == Array(UInt64(number) * 500 + 1...UInt64(number) * 500 + 500))
        }
        #expect(machine.next(at: 0) == .rest(until: nil, records: nil))
        #expect(machine.outstandingRecords == 1500)
    }

    @Test("a few records wait for company for as long as a batch may be old, then go")
    func age() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(3)
        #expect(machine.nextCall(&source, at: 1000) == nil)
        #expect(machine.next(at: 1000) == .rest(until: 1100, records: 497))
        #expect(machine.next(at: 1099) == .rest(until: 1100, records: 497))
        let batch = try #require(machine.nextCall(&source, at: 1100))
        #expect(batch.records.count == 3)
        machine.answer(batch, .delivered, at: 1110)
        #expect(machine.next(at: 1110) == .rest(until: nil, records: 1))
        #expect(machine.window.low == 4)
        #expect(machine.isIdle)
    }

    @Test("a drain waits for no company")
    func drain() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(3)
        #expect(machine.nextCall(&source, at: 0) == nil)
        machine.drain()
        #expect(try #require(machine.nextCall(&source, at: 0)).records.count == 3)
    }

    @Test("the bytes of a call keep within the stream's bound, keys included, and a large record goes alone")
    func bytes() throws {
        var machine = DeliveryMachine({ _, _, put in put = PutLimits(records: 500, bytes: 1000, recordBytes: 2000) })
        var source = RecordSource(20, bytes: 300)
        while let batch = machine.nextCall(&source, at: 0) {
            #expect(batch.records.count == 3)
            machine.answer(batch, .delivered, at: 0)
        }
        var large = RecordSource(1, bytes: 1500)
        var alone = DeliveryMachine({ _, _, put in put = PutLimits(records: 500, bytes: 1000, recordBytes: 2000) })
        #expect(try #require(alone.nextCall(&large, at: 0)).records.count == 1)
    }

    @Test("only entries that failed are sent again, ahead of fresh ones and together with them")
    func partialFailure() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(900)
        let first = try #require(machine.nextCall(&source, at: 0))
        let outcomes = first.records.map { RecordOutcome.failedEveryThird($0.sequence) }
        let tally = machine.answered(first.number, .answered(outcomes), at: 10)
        #expect(tally == AttemptTally(delivered: 333, failed: 167))
        let second = try #require(machine.nextCall(&source, at: 1000))
        let failed = first.records.map(\.sequence).filter { $0 % 3 == 1 }
        #expect(second.records.map(\.sequence) == failed + Array(501...833))
        #expect(machine.window.low == 1)
        machine.answer(second, .delivered, at: 1010)
        #expect(machine.window.low == 834)
    }

    @Test("answers in another order never move the low-water mark past a record that is not done")
    func lowWater() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(1500)
        let calls = try (0..<3).map { _ in try #require(machine.nextCall(&source, at: 0)) }
        machine.answer(calls[2], .delivered, at: 1)
        #expect(machine.window.low == 1)
        machine.answer(calls[0], .delivered, at: 1)
        #expect(machine.window.low == 501)
        machine.answer(calls[1], .delivered, at: 1)
        #expect(machine.window.low == 1501)
    }

    @Test("an answer for too few or too many records says nothing: all are sent again")
    func mismatch() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(500)
        let batch = try #require(machine.nextCall(&source, at: 0))
        let tally = machine.answered(batch.number, .answered([.delivered]), at: 0)
        #expect(tally.unavailability != nil)
        #expect(tally.failed == 500)
        let again = try #require(machine.nextCall(&source, at: 5000))
        #expect(again.records == batch.records)
        // The first answer once more is nobody's.
        #expect(machine.answered(batch.number, .answered([]), at: 5000) == AttemptTally())
    }

    @Test("throttling of one lane holds up that lane alone")
    func lanes() throws {
        var machine = DeliveryMachine({ _, policy, _ in
            policy.firstPause = 100_000
            policy.longestPause = 100_000
        })
        var source = RecordSource(4000, lanes: 4)
        let batch = try #require(machine.nextCall(&source, at: 0))
        let outcomes = batch.records.map { $0.lane == 2 ? RecordOutcome.throttled : .delivered }
        let tally = machine.answered(batch.number, .answered(outcomes), at: 0)
        #expect(tally == AttemptTally(delivered: 375, throttled: 125))
        var others = 0
        while let next = machine.nextCall(&source, at: 1) {
            #expect(!next.records.contains { $0.lane == 2 })
            others += next.records.count
            machine.answer(next, .delivered, at: 1)
        }
        // The last few are still gathered.
        #expect(others > 2300)
        #expect(machine.window.low == batch.records.first { $0.lane == 2 }?.sequence)
        // When its time has come, the lane goes first, and in order.
        let after = try #require(machine.nextCall(&source, at: 200_000))
        let held = after.records.filter { $0.lane == 2 }.map(\.sequence)
        #expect(held.count >= 125)
        #expect(Array(held.prefix(125)) == batch.records.filter { $0.lane == 2 }.map(\.sequence))
        #expect(held == held.sorted())
    }

    @Test("while one lane is held up for long, what is held stays within its bounds")
    func heldLaneIsBounded() {
        var machine = DeliveryMachine({ limits, policy, _ in
            policy.firstPause = 1_000_000
            policy.longestPause = 1_000_000
            limits.outstandingRecords = 3_000
            limits.windowRecords = 9_000
        })
        var source = RecordSource(1_000_000, lanes: 4)
        while let batch = machine.nextCall(&source, at: 1) {
            let outcomes = batch.records.map { $0.lane == 0 ? RecordOutcome.throttled : .delivered }
            _ = machine.answered(batch.number, .answered(outcomes), at: 1)
            #expect(machine.outstandingRecords <= 3_000)
            #expect(machine.window.count <= 9_000)
        }
        #expect(machine.window.count == 9_000)
    }

    @Test("calls that are not answered pause the next ones, then open the breaker, which lets one through each second")
    func outage() {
        var machine = DeliveryMachine()
        var source = RecordSource(1_000_000)
        var attempts: [UInt64] = []
        let tenMinutes: UInt64 = 600_000
        var now: UInt64 = 0
        while now < tenMinutes {
            while let batch = machine.nextCall(&source, at: now) {
                attempts.append(now)
                _ = machine.answered(batch.number, down, at: now)
            }
            now += 1
        }
        #expect(Double(attempts.count) / 600 <= 1.1)
        #expect(attempts.count > 500)
        #expect(machine.breaker.state == .open)
        let probes = attempts.dropFirst(10)
        #expect(zip(probes, probes.dropFirst()).allSatisfy { $1 - $0 >= 1000 && $1 - $0 <= 1101 })
        // Nothing more is taken than what was in flight when it began.
        #expect(machine.outstandingRecords <= 2000)
    }

    @Test("one answer closes the breaker, and calls run side by side again")
    func recovery() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(1_000_000)
        var now: UInt64 = 0
        while machine.breaker.state == .closed {
            if let batch = machine.nextCall(&source, at: now) { _ = machine.answered(batch.number, down, at: now) }
            now += 1
        }
        now += 2000
        let probe = try #require(machine.nextCall(&source, at: now))
        #expect(machine.breaker.state == .halfOpen)
        // Only that one.
        #expect(machine.next(at: now + 5000) == .rest(until: nil, records: nil))
        machine.answer(probe, .delivered, at: now)
        #expect(machine.breaker.state == .closed)
        for _ in 0..<4 { #expect(machine.nextCall(&source, at: now) != nil) }
    }

    @Test("calls that ran together and failed together are one failure, so a single cut does not open the breaker")
    func oneRound() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(10_000)
        let calls = try (0..<4).map { _ in try #require(machine.nextCall(&source, at: 0)) }
        for call in calls { _ = machine.answered(call.number, down, at: 1) }
        #expect(machine.breaker.state == .closed)
    }

    @Test("after a call that was not answered they go one at a time, until one is")
    func doubt() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(10_000)
        let calls = try (0..<4).map { _ in try #require(machine.nextCall(&source, at: 0)) }
        for call in calls { _ = machine.answered(call.number, down, at: 1) }
        let single = try #require(machine.nextCall(&source, at: 1_000))
        #expect(machine.nextCall(&source, at: 1_000) == nil)
        machine.answer(single, .delivered, at: 1_000)
        for _ in 0..<4 { #expect(machine.nextCall(&source, at: 1_000) != nil) }
    }

    @Test("a fault of the configuration opens the breaker at once")
    func fault() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(500)
        let batch = try #require(machine.nextCall(&source, at: 0))
        let why = Unavailability("no such stream", isConfigurationFault: true)
        _ = machine.answered(batch.number, .unavailable(why), at: 0)
        #expect(machine.breaker.state == .open)
    }

    @Test("the retry budget bounds how many records are sent again: its stock, those delivered, and so many a second")
    func budget() {
        var machine = DeliveryMachine({ limits, policy, _ in
            limits.outstandingRecords = 2_000
            policy.firstPause = 0
            policy.budgetRecords = 1_000
            policy.budgetRecordsPerSecond = 100
        })
        var source = RecordSource(1_000_000)
        var sent = 0
        for now in UInt64(0)..<10_000 {
            while let batch = machine.nextCall(&source, at: now) {
                sent += batch.records.count
                // InternalFailure for each, for as long as it lasts.
                machine.answer(batch, .failed(code: "InternalFailure"), at: now)
            }
        }
        #expect(sent <= 2_000 + 1_000 + 100 * 10)
        #expect(sent >= 2_000 + 1_000 + 100 * 9)
    }

    @Test("a record that is refused is kept aside, counts as done when it is, and nothing waits for it meanwhile")
    func refused() throws {
        var machine = DeliveryMachine()
        var source = RecordSource(1000)
        let batch = try #require(machine.nextCall(&source, at: 0))
        let outcomes = batch.records.map { $0.sequence == 7 ? RecordOutcome.refused(reason: "bad") : .delivered }
        _ = machine.answered(batch.number, .answered(outcomes), at: 0)
        let refusal = DeliveryMachine.Refusal(record: batch.records[6], reason: "bad")
        #expect(machine.next(at: 0) == .keepAside([refusal]))
        let next = try #require(machine.nextCall(&source, at: 0))
        machine.answer(next, .delivered, at: 0)
        machine.keepingFailed(at: 10)
        #expect(machine.window.low == 7)
        #expect(
            machine.next(at: 11) == .rest(until: 510, records: nil)
                || machine.next(at: 11) == .take(records: 500, bytes: 5 << 20)
        )
        #expect(machine.next(at: 510) == .keepAside([refusal]))
        machine.keptAside()
        #expect(machine.window.low == 1001)
        #expect(machine.window.quarantinedBelow == 1)
        #expect(machine.isIdle)
    }

    @Test("a record larger than the stream takes is refused without a call")
    func tooLarge() throws {
        var machine = DeliveryMachine({ _, _, put in put.recordBytes = 100 })
        var source = RecordSource(1, bytes: 101)
        guard case .take(let records, let bytes) = machine.next(at: 0) else { throw Unexpected() }
        source.give(records, bytes, to: &machine, at: 0)
        guard case .keepAside(let refusals) = machine.next(at: 0) else { throw Unexpected() }
        #expect(refusals.map(\.record.sequence) == [1])
    }

    @Test(
        "a call that is refused as a whole is halved until the record to blame is alone",
        arguments: [0, 1, 250, 498, 499]
    )
    func halving(_ place: Int) {
        var machine = DeliveryMachine()
        var source = RecordSource(500)
        var delivered: Set<UInt64> = []
        var calls = 0
        while let batch = machine.nextCall(&source, at: 0) {
            calls += 1
            if batch.records.contains(where: { $0.sequence == UInt64(place) + 1 }) {
                _ = machine.answered(batch.number, .refused(reason: "bad"), at: 0)
            } else {
                #expect(batch.records.allSatisfy { delivered.insert($0.sequence).inserted })
                machine.answer(batch, .delivered, at: 0)
            }
        }
        #expect(delivered.count == 499)
        #expect(machine.window.low == 501)
        #expect(machine.window.quarantinedBelow == 1)
        #expect(calls <= 2 * 10)
    }

    @Test("records that the journal lost hold up nothing")
    func gaps() throws {
        var machine = DeliveryMachine()
        machine.took(outbound(1..<3), at: 0)
        machine.took(outbound(100..<102), at: 0)
        machine.drain()
        machine.foundNothing(position: 200)
        guard case .put(let batch) = machine.next(at: 0) else { throw Unexpected() }
        machine.answer(batch, .delivered, at: 0)
        #expect(machine.window.low == 200)
    }
}

struct Unexpected: Error {}

extension RecordOutcome {
    fileprivate static func failedEveryThird(_ sequence: UInt64) -> RecordOutcome {
        sequence % 3 == 1 ? .failed(code: "InternalFailure") : .delivered
    }
}
