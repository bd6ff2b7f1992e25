import Testing

@testable import StreamSource

@Suite("Who reads which part")
struct LeaseBoardTests {
    private let parts = ["a", "b", "c", "d"]

    private func board(_ worker: String = "me") -> LeaseBoard { LeaseBoard(worker: worker, duration: .seconds(10)) }

    private func lease(_ part: String, _ owner: String, _ counter: Int64 = 1) -> Lease {
        Lease(part: part, owner: owner, counter: counter)
    }

    @Test("Alone, a worker takes everything that nobody has")
    func alone() {
        var board = self.board()
        let steps = board.steps(parts: self.parts, leases: [], now: .zero)
        #expect(steps == self.parts.map { .take(self.lease($0, "", 0)) })
    }

    @Test("What a worker has it renews, and takes no more than its share")
    func share() {
        var board = self.board()
        let leases = [self.lease("a", "me"), self.lease("b", "other")]
        let steps = board.steps(parts: self.parts, leases: leases, now: .zero)
        #expect(steps == [.renew(leases[0]), .take(self.lease("c", "", 0))])
    }

    @Test("A lease is dead when its counter did not change for the lease's duration, whatever other clocks say")
    func dead() {
        var board = self.board()
        var other = self.parts.map { self.lease($0, "other", 7) }
        // One at a time comes from a living worker who has more.
        #expect(board.steps(parts: self.parts, leases: other, now: .zero) == [.take(other[0])])
        #expect(board.steps(parts: self.parts, leases: other, now: .seconds(9)) == [.take(other[0])])
        other[3].counter = 8
        let steps = board.steps(parts: self.parts, leases: other, now: .seconds(10))
        // The three that are dead are free; two workers share four parts.
        #expect(steps == [.take(other[0]), .take(other[1])])
    }

    @Test("Nothing is taken where taking evens nothing out")
    func even() {
        var board = self.board()
        let leases = [self.lease("a", "me"), self.lease("b", "other"), self.lease("c", "other")]
        let steps = board.steps(parts: ["a", "b", "c"], leases: leases, now: .zero)
        #expect(steps == [.renew(leases[0])])
    }

    @Test("A lease that was given back is free at once; one of a part that is read to its end counts for nobody")
    func givenBack() {
        var board = self.board()
        let leases = [self.lease("a", "", 5), self.lease("old", "other")]
        #expect(board.steps(parts: ["a"], leases: leases, now: .zero) == [.take(leases[0])])
    }

    @Test(
        "However workers come, go and stop, every part is read by exactly one living worker in the end",
        arguments: 0..<50
    )
    func convergence(seed: UInt64) {
        var random = SplitMix(state: seed)
        var kept: [String: Lease] = [:]
        var boards = (0..<3).map { self.board("w\($0)") }
        var living = Set(0..<3)
        for second in 0..<120 {
            if second == 40 { living.remove(Int.random(in: 0..<3, using: &random)) }
            for index in living.shuffled(using: &random) {
                let steps = boards[index].steps(parts: self.parts, leases: Array(kept.values), now: .seconds(second))
                for step in steps {
                    switch step {
                    case .renew(let lease), .take(let lease):
                        guard kept[lease.part]?.counter ?? 0 == lease.counter else { continue }
                        kept[lease.part] = self.lease(lease.part, "w\(index)", lease.counter + 1)
                    }
                }
            }
        }
        let owners = Dictionary(grouping: kept.values, by: \.owner).mapValues(\.count)
        #expect(Set(owners.keys) == Set(living.map { "w\($0)" }))
        #expect(owners.values.sorted() == [2, 2])
    }
}

/// Sebastiano Vigna's splitmix64: the same sequence for the same seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var word = self.state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}
