import Testing

@testable import StreamSink

/// A stream that answers as chance has it, in any order, and keeps books of what it stored.
private struct ChanceStream {
    var random: JitterGenerator
    /// Shares of a hundred.
    var failing: Int
    var unanswered: Int
    /// These it refuses for good; some of them by refusing the whole call.
    let poison: Set<UInt64>
    let refusesCalls: Bool
    private(set) var stored: [UInt64: Int] = [:]
    /// Records of which the answer said that they are stored.
    private(set) var told: Set<UInt64> = []
    private(set) var refused: Set<UInt64> = []

    init(seed: UInt64, poison: Set<UInt64>) {
        self.random = JitterGenerator(seed: seed)
        self.failing = .random(in: 0...60, using: &self.random)
        self.unanswered = .random(in: 0...40, using: &self.random)
        self.refusesCalls = .random(using: &self.random)
        self.poison = poison
    }

    mutating func answer(_ batch: RecordBatch) -> PutOutcome {
        let luck = Int.random(in: 0..<100, using: &self.random)
        if luck < self.unanswered {
            // It may have stored them all the same.
            if luck % 2 == 0 { for record in batch.records { self.stored[record.sequence, default: 0] += 1 } }
            return luck % 3 == 0 ? .answered([]) : .unavailable(Unavailability("cut"))
        }
        if self.refusesCalls, batch.records.contains(where: { self.poison.contains($0.sequence) }) {
            return .refused(reason: "poison")
        }
        return .answered(batch.records.map { self.outcome(of: $0.sequence) })
    }

    private mutating func outcome(of sequence: UInt64) -> RecordOutcome {
        if self.poison.contains(sequence) {
            self.refused.insert(sequence)
            return .refused(reason: "poison")
        }
        let luck = Int.random(in: 0..<100, using: &self.random)
        if luck < self.failing { return luck % 2 == 0 ? .throttled : .failed(code: "InternalFailure") }
        self.stored[sequence, default: 0] += 1
        self.told.insert(sequence)
        return .delivered
    }
}

@Suite struct DeliveryPropertyTests {
    /// Whatever a stream answers, in whatever order: each record is delivered or quarantined exactly once in the books,
    /// nothing is sent after its delivery was told, the low-water mark passes no record that is not done, bounds hold.
    @Test(
        "random answers in random order: every record is done exactly once and nothing delivered is sent again",
        arguments: 0..<60
    )
    func everythingIsDoneOnce(_ seed: UInt64) throws {
        var random = JitterGenerator(seed: seed &* 7919)
        let count = UInt64.random(in: 1...4_000, using: &random)
        let poison = Set(
            (0..<Int.random(in: 0...5, using: &random)).map { _ in UInt64.random(in: 1...count, using: &random) }
        )
        var stream = ChanceStream(seed: seed, poison: poison)
        var limits = DeliveryLimits()
        limits.batch.records = .random(in: 1...200, using: &random)
        limits.batchesInFlight = .random(in: 1...6, using: &random)
        limits.outstandingRecords = .random(in: 50...1000, using: &random)
        limits.outstandingBytes = .random(in: 2_000...100_000, using: &random)
        limits.windowRecords = .random(in: 100...3000, using: &random)
        let lanes = Int.random(in: 1...5, using: &random)
        var machine = DeliveryMachine(
            {
                $0 = limits
                $2 = PutLimits(records: 150, bytes: 20_000, recordBytes: 5_000)
                _ = $1
            },
            seed: seed
        )
        var source = RecordSource(count, bytes: .random(in: 4...200, using: &random), lanes: lanes)

        var running: [RecordBatch] = []
        var keeping: [UInt64]?
        var quarantined: Set<UInt64> = []
        var now: UInt64 = 0
        var low: UInt64 = 1
        while machine.window.low <= count {
            var isResting = false
            switch machine.next(at: now) {
            case .put(let batch):
                #expect(batch.records.count <= 150)
                #expect(batch.records.reduce(0) { $0 + $1.cost } <= 20_000)
                #expect(
                    !batch.records.contains { stream.told.contains($0.sequence) || quarantined.contains($0.sequence) }
                )
                running.append(batch)
                #expect(running.count <= limits.batchesInFlight)
            case .take(let records, let bytes): source.give(records, bytes, to: &machine, at: now)
            case .keepAside(let refusals): keeping = refusals.map(\.record.sequence)
            case .rest: isResting = true
            }
            #expect(machine.outstandingRecords <= limits.outstandingRecords)
            #expect(machine.outstandingBytes < limits.outstandingBytes + source.bytes)
            #expect(machine.window.count <= limits.windowRecords)

            guard isResting || Int.random(in: 0..<3, using: &random) == 0 else { continue }
            now += UInt64.random(in: 0...300, using: &random)
            if let kept = keeping, Bool.random(using: &random) {
                keeping = nil
                if Int.random(in: 0..<4, using: &random) == 0 {
                    machine.keepingFailed(at: now)
                } else {
                    machine.keptAside()
                    for sequence in kept { #expect(quarantined.insert(sequence).inserted) }
                }
            }
            if let place = running.indices.randomElement(using: &random) {
                let batch = running.remove(at: place)
                _ = machine.answered(batch.number, stream.answer(batch), at: now)
            }
            // Everything below the mark is done, and it never goes back.
            let mark = machine.window.low
            #expect(mark >= low)
            for sequence in low..<mark { #expect(stream.told.contains(sequence) || quarantined.contains(sequence)) }
            low = mark
            try #require(now < 100_000_000, "it does not come to an end")
        }
        #expect(machine.isIdle)
        #expect(stream.told.union(quarantined) == Set(1...count))
        #expect(stream.told.isDisjoint(with: quarantined))
        #expect(quarantined == poison)
        #expect(machine.window.quarantinedBelow == UInt64(poison.count))
    }
}
