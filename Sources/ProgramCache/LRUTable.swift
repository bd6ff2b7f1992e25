import CLinux
import TrackingModel

/// What a table holds knows its own key, so the table need not keep a copy.
protocol Keyed {
    func hasKey(_ key: Span<UInt8>) -> Bool
    func hashKey(with hash: KeyHash) -> UInt32
}

/// A hash table of fixed capacity in the order of use; what was used longest ago gives way.
///
/// Open addressing with linear probing over slots of 8 bytes (32 bits of the hash, 32 of the place's number). What belongs
/// to a place lies in three arrays, by how a look-up needs it: the reference to the entry and the links to the neighbours
/// in the order of use take 8 bytes each, so that those of 100,000 entries stay in a core's own cache; 42 bytes an entry
/// in all. Deletion shifts back, so there are no tombstones.
struct LRUTable<Entry: Keyed> {
    /// How long an entry counts.
    struct Life {
        /// Nanoseconds of the monotonic clock: fresh before it.
        var freshUntil: UInt64
        /// After that, served for a while without asking again, as the source could not be reached. 0: not at all.
        var staleUntil: UInt64 = 0
        /// What the table's owner counts up to make all that is older doubtful.
        var epoch: UInt32
    }

    /// Neighbours in the order of use; -1: none.
    private struct Link {
        var newer: Int32 = -1
        var older: Int32 = -1
    }

    private struct Slot {
        var hash: UInt32
        /// -1: empty.
        var place: Int32
        static var empty: Slot { Slot(hash: 0, place: -1) }
    }

    let capacity: Int
    private let hash = KeyHash()
    private(set) var entries: ContiguousArray<Entry?> = []
    var lives: ContiguousArray<Life> = []
    private var links: ContiguousArray<Link> = []
    private var freePlaces: [Int32] = []
    private var slots: ContiguousArray<Slot>
    private var mask: Int
    private var newest: Int32 = -1
    private var oldest: Int32 = -1
    private(set) var count = 0
    /// Where the key that was announced last is; -1: nowhere. A guess: what is there may have changed since.
    private var expected: Int32 = -1

    init(capacity: Int) {
        precondition(1...Int(Int32.max) / 4 ~= capacity)
        self.capacity = capacity
        self.slots = ContiguousArray(repeating: .empty, count: 64)
        self.mask = 63
    }

    /// Announces a key that will be looked for soon: its entry, which lies anywhere in memory, is on its way meanwhile.
    mutating func prefetch(_ key: Span<UInt8>) {
        let hash = self.hash(key)
        var index = Int(hash) & self.mask
        while self.slots[index].place >= 0, self.slots[index].hash != hash { index = (index &+ 1) & self.mask }
        self.expected = self.slots[index].place
        guard self.expected >= 0, MemoryLayout<Entry?>.size == MemoryLayout<UInt>.size else { return }
        // As a number: whoever counts a reference has to wait for what it points at.
        let reference = self.entries.withUnsafeBytes {
            $0.load(fromByteOffset: Int(self.expected) &* MemoryLayout<UInt>.size, as: UInt.self)
        }
        for line in 0..<4 { adtrack_prefetch(UnsafeRawPointer(bitPattern: reference &+ UInt(line) &* 64)) }
    }

    /// The entry's place, for the accessors below; valid until the next insertion or removal.
    @inline(__always)
    func find(_ key: Span<UInt8>) -> Int? {
        if self.expected >= 0, self.entries[Int(self.expected)]?.hasKey(key) == true { return Int(self.expected) }
        let hash = self.hash(key)
        var index = Int(hash) & self.mask
        while self.slots[index].place >= 0 {
            let slot = self.slots[index]
            if slot.hash == hash, self.entries[Int(slot.place)]?.hasKey(key) == true { return Int(slot.place) }
            index = (index &+ 1) & self.mask
        }
        return nil
    }

    subscript(place: Int) -> Entry {
        @inline(__always)
        get {
            guard let entry = self.entries[place] else { preconditionFailure("no entry has this place") }
            return entry
        }
        set { self.entries[place] = newValue }
    }

    /// Makes an entry the one used last.
    @inline(__always)
    mutating func touch(_ place: Int) {
        guard self.newest != Int32(place) else { return }
        self.unlink(place)
        self.linkNewest(place)
    }

    /// Adds what is not there yet. Returns true when another entry had to give way.
    mutating func insert(_ entry: Entry, freshUntil: UInt64, epoch: UInt32) -> Bool {
        let isFull = self.count == self.capacity
        if isFull { self.remove(Int(self.oldest)) }
        if (self.count + 1) * 2 > self.slots.count { self.grow() }
        let life = Life(freshUntil: freshUntil, epoch: epoch)
        let place: Int
        if let free = self.freePlaces.popLast() {
            place = Int(free)
            self.entries[place] = entry
            self.lives[place] = life
        } else {
            place = self.entries.count
            self.entries.append(entry)
            self.lives.append(life)
            self.links.append(Link())
        }
        self.fill(Slot(hash: entry.hashKey(with: self.hash), place: Int32(place)))
        self.linkNewest(place)
        self.count += 1
        return isFull
    }

    mutating func remove(_ place: Int) {
        self.unlink(place)
        var hole = Int(self[place].hashKey(with: self.hash)) & self.mask
        while self.slots[hole].place != Int32(place) { hole = (hole &+ 1) & self.mask }
        self.closeGap(at: hole)
        self.entries[place] = nil
        self.freePlaces.append(Int32(place))
        self.count -= 1
    }

    mutating func removeAll() {
        self = LRUTable(capacity: self.capacity)
    }

    // MARK: Slots

    private mutating func fill(_ slot: Slot) {
        var index = Int(slot.hash) & self.mask
        while self.slots[index].place >= 0 { index = (index &+ 1) & self.mask }
        self.slots[index] = slot
    }

    /// Moves back what was displaced over the hole, so that every search still finds it.
    private mutating func closeGap(at start: Int) {
        var hole = start
        var index = (hole &+ 1) & self.mask
        while self.slots[index].place >= 0 {
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
        for slot in old where slot.place >= 0 { self.fill(slot) }
    }

    // MARK: Order of use

    @inline(__always)
    private mutating func unlink(_ place: Int) {
        let link = self.links[place]
        if link.newer >= 0 { self.links[Int(link.newer)].older = link.older } else { self.newest = link.older }
        if link.older >= 0 { self.links[Int(link.older)].newer = link.newer } else { self.oldest = link.newer }
    }

    @inline(__always)
    private mutating func linkNewest(_ place: Int) {
        self.links[place] = Link(newer: -1, older: self.newest)
        if self.newest >= 0 { self.links[Int(self.newest)].newer = Int32(place) }
        self.newest = Int32(place)
        if self.oldest < 0 { self.oldest = Int32(place) }
    }
}
