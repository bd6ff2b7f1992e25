import Testing

@testable import ProgramCache

@Suite("The table in the order of use")
struct LRUTableTests {
    private final class Item: Keyed {
        let key: [UInt8]
        init(_ number: Int) { self.key = Item.key(number) }
        static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }
        func hasKey(_ key: Span<UInt8>) -> Bool {
            key.count == self.key.count && key.indices.allSatisfy { key[$0] == self.key[$0] }
        }
        func hashKey(with hash: KeyHash) -> UInt32 {
            let key = self.key
            return hash(key.span)
        }
    }

    /// The same, as simply as can be: what was used when.
    private struct Model {
        let capacity: Int
        var used: [Int: Int] = [:]
        private var order: [(key: Int, use: Int)] = []
        private var first = 0
        private var now = 0

        init(capacity: Int) { self.capacity = capacity }

        mutating func use(_ key: Int) {
            self.now += 1
            self.used[key] = self.now
            self.order.append((key, self.now))
        }

        /// Returns the key that gave way.
        mutating func insert(_ key: Int) -> Int? {
            var evicted: Int?
            if self.used.count == self.capacity {
                while self.used[self.order[self.first].key] != self.order[self.first].use { self.first += 1 }
                let oldest = self.order[self.first].key
                self.used[oldest] = nil
                evicted = oldest
            }
            self.use(key)
            return evicted
        }
    }

    private func find(_ key: Int, in table: LRUTable<Item>) -> Int? { table.find(Item.key(key).span) }

    /// Random look-ups, insertions and removals; after each step both say the same.
    private func compare(capacity: Int, keys: Int, steps: Int, seed: UInt64) {
        var random = SeededBits(state: seed)
        var table = LRUTable<Item>(capacity: capacity)
        var model = Model(capacity: capacity)
        for step in 0..<steps {
            let key = Int.random(in: 0..<keys, using: &random)
            // A guess only: of the key itself, of another one, of one that goes with this step.
            let announced = Bool.random(using: &random) ? key : Int.random(in: 0..<keys, using: &random)
            if step % 3 > 0 { table.prefetch(Item.key(announced).span) }
            let found = self.find(key, in: table)
            guard (found != nil) == (model.used[key] != nil) else {
                Issue.record("capacity \(capacity), seed \(seed), step \(step): key \(key)")
                return
            }
            switch (found, Int.random(in: 0..<10, using: &random)) {
            case (nil, _):
                let evicted = model.insert(key)
                let gaveWay = table.insert(Item(key), freshUntil: UInt64(key), epoch: 0)
                #expect(gaveWay == (evicted != nil))
                if let evicted, self.find(evicted, in: table) != nil { Issue.record("\(evicted) should have gone") }
            case (.some(let index), 0...1):
                table.remove(index)
                model.used[key] = nil
            case (.some(let index), 2...8):
                table.touch(index)
                model.use(key)
            case (.some(let index), _):
                if table.lives[index].freshUntil != UInt64(key) { Issue.record("another's life") }
            }
            if table.count != model.used.count || table.count > capacity { Issue.record("count \(table.count)") }
        }
        for key in 0..<keys where (self.find(key, in: table) != nil) != (model.used[key] != nil) {
            Issue.record("capacity \(capacity), seed \(seed): key \(key) at the end")
        }
        #expect(table.entries.count <= capacity)
    }

    @Test("it agrees with a naive model over random operations, tiny capacities", arguments: [1, 2, 3, 7, 31, 32, 33])
    func tiny(capacity: Int) {
        for seed in 1...3 {
            self.compare(capacity: capacity, keys: capacity * 2 + 1, steps: 20_000, seed: UInt64(seed))
        }
    }

    @Test("it agrees with a naive model over random operations, larger ones", arguments: [1_000, 5_000])
    func larger(capacity: Int) {
        self.compare(capacity: capacity, keys: capacity * 3 / 2, steps: 200_000, seed: 9)
    }

    @Test("the capacity is exact, and the one used longest ago gives way")
    func order() {
        var table = LRUTable<Item>(capacity: 3)
        for key in 0..<3 { #expect(table.insert(Item(key), freshUntil: 0, epoch: 0) == false) }
        if let index = self.find(0, in: table) { table.touch(index) }
        #expect(table.insert(Item(3), freshUntil: 0, epoch: 0) == true)
        #expect(self.find(1, in: table) == nil)
        #expect(table.insert(Item(4), freshUntil: 0, epoch: 0) == true)
        #expect(self.find(2, in: table) == nil)
        #expect(self.find(0, in: table) != nil)
        #expect(table.count == 3)
        table.removeAll()
        #expect(table.count == 0 && self.find(0, in: table) == nil)
    }
}

/// splitmix64, so that a failure can be seen again.
struct SeededBits: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var bits = self.state
        bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
        return bits ^ (bits >> 31)
    }
}
