import TrackingModel

/// What a table holds knows its own key, so the table need not keep a copy.
protocol Keyed: AnyObject {
    func hasKey(_ key: Span<UInt8>) -> Bool
    func hashKey(into hasher: inout Hasher)
}

/// A hash table of fixed capacity in the order of use; what was used longest ago gives way.
///
/// Open addressing with linear probing over slots of 8 bytes (32 bits of the hash, 32 of the node's index), nodes in one
/// array linked by index. Deletion shifts back, so there are no tombstones. The hash is the library's SipHash with its
/// random seed: ids come from outside, and nobody can choose ones that collide.
struct LRUTable<Entry: Keyed> {
    struct Node {
        var entry: Entry
        var hash: UInt32
        var newer: Int32
        var older: Int32
        /// Nanoseconds of the monotonic clock: fresh before it.
        var freshUntil: UInt64
        /// After that, served for a while without asking again, as the source could not be reached. 0: not at all.
        var staleUntil: UInt64
        /// What the table's owner counts up to make all that is older doubtful.
        var epoch: UInt32
    }

    private struct Slot {
        var hash: UInt32
        /// -1: empty.
        var node: Int32
        static var empty: Slot { Slot(hash: 0, node: -1) }
    }

    let capacity: Int
    private(set) var nodes: ContiguousArray<Node?> = []
    private var freeNodes: [Int32] = []
    private var slots: ContiguousArray<Slot>
    private var mask: Int
    private var newest: Int32 = -1
    private var oldest: Int32 = -1
    private(set) var count = 0

    init(capacity: Int) {
        precondition(1...Int(Int32.max) / 4 ~= capacity)
        self.capacity = capacity
        self.slots = ContiguousArray(repeating: .empty, count: 64)
        self.mask = 63
    }

    static func hash(_ key: Span<UInt8>) -> UInt32 {
        var hasher = Hasher()
        key.withUnsafeBytes { hasher.combine(bytes: $0) }
        return UInt32(truncatingIfNeeded: hasher.finalize())
    }

    /// The node's index, for the accessors below; valid until the next insertion or removal.
    @inline(__always)
    func find(_ key: Span<UInt8>) -> Int? {
        let hash = Self.hash(key)
        var index = Int(hash) & self.mask
        while self.slots[index].node >= 0 {
            let slot = self.slots[index]
            if slot.hash == hash, let node = self.nodes[Int(slot.node)], node.entry.hasKey(key) {
                return Int(slot.node)
            }
            index = (index &+ 1) & self.mask
        }
        return nil
    }

    @inline(__always)
    func withNode<Result>(_ index: Int, _ read: (borrowing Node?) -> Result) -> Result {
        read(self.nodes[index])
    }

    subscript(index: Int) -> Node {
        get {
            guard let node = self.nodes[index] else { preconditionFailure("no node has this index") }
            return node
        }
        set { self.nodes[index] = newValue }
    }

    /// Makes a node the one used last.
    @inline(__always)
    mutating func touch(_ index: Int) {
        guard self.newest != Int32(index) else { return }
        self.unlink(index)
        self.linkNewest(index)
    }

    /// Adds what is not there yet. Returns true when another entry had to give way.
    mutating func insert(_ entry: Entry, freshUntil: UInt64, epoch: UInt32) -> Bool {
        let isFull = self.count == self.capacity
        if isFull { self.remove(Int(self.oldest)) }
        if (self.count + 1) * 2 > self.slots.count { self.grow() }
        var hasher = Hasher()
        entry.hashKey(into: &hasher)
        let hash = UInt32(truncatingIfNeeded: hasher.finalize())
        let node = Node(
            entry: entry,
            hash: hash,
            newer: -1,
            older: -1,
            freshUntil: freshUntil,
            staleUntil: 0,
            epoch: epoch
        )
        let index: Int
        if let free = self.freeNodes.popLast() {
            index = Int(free)
            self.nodes[index] = node
        } else {
            index = self.nodes.count
            self.nodes.append(node)
        }
        self.place(Slot(hash: hash, node: Int32(index)))
        self.linkNewest(index)
        self.count += 1
        return isFull
    }

    mutating func remove(_ index: Int) {
        let hash = self[index].hash
        self.unlink(index)
        var hole = Int(hash) & self.mask
        while self.slots[hole].node != Int32(index) { hole = (hole &+ 1) & self.mask }
        self.closeGap(at: hole)
        self.nodes[index] = nil
        self.freeNodes.append(Int32(index))
        self.count -= 1
    }

    mutating func removeAll() {
        self = LRUTable(capacity: self.capacity)
    }

    // MARK: Slots

    private mutating func place(_ slot: Slot) {
        var index = Int(slot.hash) & self.mask
        while self.slots[index].node >= 0 { index = (index &+ 1) & self.mask }
        self.slots[index] = slot
    }

    /// Moves back what was displaced over the hole, so that every search still finds it.
    private mutating func closeGap(at start: Int) {
        var hole = start
        var index = (hole &+ 1) & self.mask
        while self.slots[index].node >= 0 {
            let home = Int(self.slots[index].hash) & self.mask
            if (index &- home) & self.mask >= (index &- hole) & self.mask {
                self.slots[hole] = self.slots[index]
                hole = index
            }
            index = (index &+ 1) & self.mask
        }
        self.slots[hole] = .empty
    }

    private mutating func grow() {
        let old = self.slots
        self.slots = ContiguousArray(repeating: .empty, count: old.count * 2)
        self.mask = self.slots.count - 1
        for slot in old where slot.node >= 0 { self.place(slot) }
    }

    // MARK: Order of use

    @inline(__always)
    private mutating func unlink(_ index: Int) {
        guard let node = self.nodes[index] else { return }
        if node.newer >= 0 { self.nodes[Int(node.newer)]?.older = node.older } else { self.newest = node.older }
        if node.older >= 0 { self.nodes[Int(node.older)]?.newer = node.newer } else { self.oldest = node.newer }
    }

    @inline(__always)
    private mutating func linkNewest(_ index: Int) {
        self.nodes[index]?.newer = -1
        self.nodes[index]?.older = self.newest
        if self.newest >= 0 { self.nodes[Int(self.newest)]?.newer = Int32(index) }
        self.newest = Int32(index)
        if self.oldest < 0 { self.oldest = Int32(index) }
    }
}
