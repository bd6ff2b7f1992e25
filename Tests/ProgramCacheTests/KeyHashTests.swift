import Testing

@testable import ProgramCache

@Suite("The hash of ids")
struct KeyHashTests {
    private func ids() -> [[UInt8]] {
        // Every length, and for each one what differs at one place only: the first, the last, and by a bit.
        (0...64).flatMap { length -> [[UInt8]] in
            let id = [UInt8](repeating: UInt8(ascii: "a"), count: length)
            let others = id.indices.flatMap { place in
                [1, 2, 0x20].map { (bit: UInt8) -> [UInt8] in
                    var other = id
                    other[place] ^= bit
                    return other
                }
            }
            return [id] + others
        }
    }

    @Test("ids that differ at one place have other hashes")
    func differs() {
        let ids = self.ids()
        // 6,305 ids make 20 million pairs: one function in 216 has a collision among them.
        let collisions = (0..<4).map { _ in
            let hash = KeyHash()
            return ids.count - Set(ids.map { hash($0.span) }).count
        }
        #expect(collisions.filter { $0 > 0 }.count <= 2)
    }

    @Test("two tables hash the same id differently")
    func isRandom() {
        let hashes = Set((0..<16).map { _ in KeyHash()(Array("212312".utf8).span) })
        #expect(hashes.count > 12)
    }

    @Test("numbers one after the other spread over the slots of a table, by their lowest bits")
    func spreads() {
        let hash = KeyHash()
        var slots = [Int](repeating: 0, count: 256)
        for number in 0..<25_600 { slots[Int(hash(Array("p\(1_000_000 + number)".utf8).span) & 255)] += 1 }
        // A hundred a slot, give or take ten.
        #expect(slots.allSatisfy { 30..<200 ~= $0 })
    }
}
