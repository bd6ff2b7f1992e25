import Glibc

@testable import EventJournal

/// A file system in memory that forgets what was not synced, fills up, fails and tears, as real ones do.
final class ModelFileSystem: JournalFileSystem {
    /// What a disk does wrong until told otherwise.
    struct Faults: Sendable {
        /// Bytes that new blocks may still take; nil is without end.
        var space: Int?
        /// How many of the next syncs fail.
        var failingSyncs = 0
        /// How many of the next writes stop in the middle.
        var failingWrites = 0
        /// How many more changes reach the system before the process is gone; nil is without end.
        var changesLeft: Int?
    }

    fileprivate struct Inode {
        /// What a process sees.
        var seen: [UInt8] = []
        /// What survives a power cut for certain.
        var durable: [UInt8] = []
        /// Sectors written since the last sync.
        var dirty: Set<Int> = []
        /// Sectors whose sync failed: the system takes them for clean, the disk never got them.
        var forsaken: Set<Int> = []
    }

    fileprivate struct State {
        var inodes: [Int: Inode] = [:]
        var names: [String: Int] = [:]
        var durableNames: [String: Int] = [:]
        private var changes: [ModelChange] = []
        var nextInode = 1
        var faults = Faults()

        fileprivate mutating func change(_ change: ModelChange) {
            switch change {
            case .add(let name, let inode):
                self.names[name] = inode
                self.changes.append(.add(name, inode))
            case .remove(let name):
                self.names[name] = nil
                self.changes.append(.remove(name))
            case .move(let old, let new):
                self.names[new] = self.names.removeValue(forKey: old)
                self.changes.append(.move(old, new))
            }
        }

        mutating func syncNames(keeping count: Int? = nil) {
            for change in self.changes.prefix(count ?? self.changes.count) {
                switch change {
                case .add(let name, let inode): self.durableNames[name] = inode
                case .remove(let name): self.durableNames[name] = nil
                case .move(let old, let new): self.durableNames[new] = self.durableNames.removeValue(forKey: old)
                }
            }
            self.changes = []
        }

        var unsyncedNames: Int { self.changes.count }

        /// Nothing that a process does after its end has an effect.
        mutating func isGone() -> Bool {
            guard let left = self.faults.changesLeft else { return false }
            self.faults.changesLeft = max(0, left - 1)
            return left == 0
        }
    }

    fileprivate enum ModelChange {
        case add(String, Int)
        case remove(String)
        case move(String, String)
    }

    static let sector = 512
    fileprivate let state = Locked(State())

    func setFaults(_ faults: Faults) { self.state.withLock { $0.faults = faults } }

    // MARK: What happens to machines

    /// The process ends: what the system holds stays.
    func kill() {}

    /// The power goes: of everything unsynced any part survives, names in their order.
    func cutPower(_ random: inout some RandomNumberGenerator) {
        let seed = random.next()
        self.state.withLock { state in
            var random = Seeded(seed)
            state.faults = Faults()
            state.syncNames(keeping: Int.random(in: 0...state.unsyncedNames, using: &random))
            state.names = state.durableNames
            for id in state.inodes.keys.sorted() {
                guard var inode = state.inodes[id] else { continue }
                inode.lose(&random)
                state.inodes[id] = inode
            }
            let used = Set(state.names.values)
            state.inodes = state.inodes.filter { used.contains($0.key) }
        }
    }

    func names(ending suffix: String) -> [String] {
        self.state.withLock { state in state.names.keys.filter { $0.hasSuffix(suffix) }.sorted() }
    }

    func size(of name: String) -> Int {
        self.state.withLock { state in state.names[name].flatMap { state.inodes[$0]?.seen.count } ?? 0 }
    }

    /// Changes bytes on disk behind everybody's back.
    func damage(_ name: String, _ change: (inout [UInt8]) -> Void) {
        self.state.withLock { state in
            guard let id = state.names[name], var inode = state.inodes[id] else { return }
            change(&inode.seen)
            inode.durable = inode.seen
            inode.dirty = []
            state.inodes[id] = inode
        }
    }

    /// A second disk with the same contents.
    func copy() -> ModelFileSystem {
        let copy = ModelFileSystem()
        let state = self.state.withLock { $0 }
        copy.state.withLock { $0 = state }
        return copy
    }

    // MARK: JournalFileSystem

    func list(_ directory: String) throws(IOFailure) -> [String] {
        self.state.withLock { state in
            state.names.keys.compactMap { name in
                guard name.hasPrefix(directory + "/") else { return nil }
                let rest = name.dropFirst(directory.count + 1)
                return rest.contains("/") ? nil : String(rest)
            }
        }
    }

    func makeDirectory(_ path: String) throws(IOFailure) {}

    func open(_ path: String, create: Bool) throws(IOFailure) -> any JournalFile {
        let inode = self.state.withLock { state -> Int? in
            if let inode = state.names[path] { return inode }
            guard create, !state.isGone(), state.faults.space.map({ $0 > 0 }) ?? true else { return nil }
            let inode = state.nextInode
            state.nextInode += 1
            state.inodes[inode] = Inode()
            state.change(.add(path, inode))
            return inode
        }
        guard let inode else { throw IOFailure(code: create ? ENOSPC : ENOENT, call: "open", path: path) }
        return ModelFile(self, inode: inode, path: path)
    }

    func rename(_ path: String, to newPath: String) throws(IOFailure) {
        let isThere = self.state.withLock { state in
            guard !state.isGone(), state.names[path] != nil else { return false }
            state.change(.move(path, newPath))
            return true
        }
        guard isThere else { throw IOFailure(code: ENOENT, call: "rename", path: path) }
    }

    func remove(_ path: String) throws(IOFailure) {
        let isThere = self.state.withLock { state in
            guard !state.isGone(), let inode = state.names[path] else { return false }
            state.change(.remove(path))
            if let space = state.faults.space { state.faults.space = space + (state.inodes[inode]?.seen.count ?? 0) }
            return true
        }
        guard isThere else { throw IOFailure(code: ENOENT, call: "unlink", path: path) }
    }

    func syncDirectory(_ path: String) throws(IOFailure) {
        let isGone = self.state.withLock { state in
            if state.isGone() { return true }
            state.syncNames()
            return false
        }
        if isGone { throw IOFailure(code: EIO, call: "fsync", path: path) }
    }

    func freeBytes(_ path: String) throws(IOFailure) -> Int {
        self.state.withLock { $0.faults.space ?? 1 << 40 }
    }
}

extension ModelFileSystem.Inode {
    fileprivate mutating func lose(_ random: inout Seeded) {
        var kept = self.durable
        let size = Bool.random(using: &random) ? self.seen.count : self.durable.count
        if kept.count < size { kept += [UInt8](repeating: 0, count: size - kept.count) }
        kept.removeLast(kept.count - size)
        for sector in self.dirty.union(self.forsaken).sorted() where Bool.random(using: &random) {
            let start = sector * ModelFileSystem.sector
            let end = min(start + ModelFileSystem.sector, kept.count, self.seen.count)
            if start < end { kept.replaceSubrange(start..<end, with: self.seen[start..<end]) }
        }
        self = ModelFileSystem.Inode(seen: kept, durable: kept)
    }

    fileprivate mutating func put(_ bytes: ArraySlice<UInt8>, at offset: Int) {
        if self.seen.count < offset + bytes.count {
            self.seen += [UInt8](repeating: 0, count: offset + bytes.count - self.seen.count)
        }
        self.seen.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        guard !bytes.isEmpty else { return }
        for sector in offset / ModelFileSystem.sector...(offset + bytes.count - 1) / ModelFileSystem.sector {
            self.dirty.insert(sector)
            self.forsaken.remove(sector)
        }
    }

    fileprivate mutating func sync() {
        if self.forsaken.isEmpty {
            if self.dirty.count * ModelFileSystem.sector * 4 < self.seen.count, self.durable.count == self.seen.count {
                for sector in self.dirty {
                    let start = sector * ModelFileSystem.sector
                    let end = min(start + ModelFileSystem.sector, self.seen.count)
                    self.durable.replaceSubrange(start..<end, with: self.seen[start..<end])
                }
            } else {
                self.durable = self.seen
            }
        } else {
            var next = self.seen
            for sector in self.forsaken {
                let start = sector * ModelFileSystem.sector
                let end = min(start + ModelFileSystem.sector, self.durable.count, next.count)
                if start < end { next.replaceSubrange(start..<end, with: self.durable[start..<end]) }
            }
            self.durable = next
        }
        self.dirty = []
    }
}

private final class ModelFile: JournalFile {
    private let system: ModelFileSystem
    private let inode: Int
    private let path: String

    init(_ system: ModelFileSystem, inode: Int, path: String) {
        self.system = system
        self.inode = inode
        self.path = path
    }

    func size() throws(IOFailure) -> Int {
        self.system.state.withLock { $0.inodes[self.inode]?.seen.count ?? 0 }
    }

    func write(_ parts: [UnsafeRawBufferPointer], at offset: Int) throws(IOFailure) {
        let bytes = parts.flatMap { Array($0) }
        let code = self.system.state.withLock { state -> Int32? in
            guard var inode = state.inodes[self.inode], !state.isGone() else { return EIO }
            var count = bytes.count
            var code: Int32?
            if state.faults.failingWrites > 0 {
                state.faults.failingWrites -= 1
                count /= 2
                code = EIO
            }
            let growth = max(0, offset + count - inode.seen.count)
            if let space = state.faults.space {
                if growth > space {
                    count = max(0, count - (growth - space))
                    code = ENOSPC
                }
                state.faults.space = max(0, space - growth)
            }
            inode.put(bytes[..<count], at: offset)
            state.inodes[self.inode] = inode
            return code
        }
        if let code { throw IOFailure(code: code, call: "pwritev", path: self.path) }
    }

    func read(into place: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOFailure) -> Int {
        self.system.state.withLock { state in
            guard let seen = state.inodes[self.inode]?.seen, offset < seen.count else { return 0 }
            let end = min(seen.count, offset + place.count)
            seen.withUnsafeBytes { place.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<end])) }
            return end - offset
        }
    }

    func truncate(to size: Int) throws(IOFailure) {
        self.system.state.withLock { state in
            guard var inode = state.inodes[self.inode], !state.isGone() else { return }
            if size < inode.seen.count { inode.seen.removeLast(inode.seen.count - size) }
            if size > inode.seen.count { inode.seen += [UInt8](repeating: 0, count: size - inode.seen.count) }
            state.inodes[self.inode] = inode
        }
    }

    func sync() throws(IOFailure) {
        let isDone = self.system.state.withLock { state -> Bool in
            guard !state.isGone() else { return false }
            guard var inode = state.inodes[self.inode] else { return true }
            let fails = state.faults.failingSyncs > 0
            if fails {
                state.faults.failingSyncs -= 1
                inode.forsaken.formUnion(inode.dirty)
                inode.dirty = []
            } else {
                inode.sync()
            }
            state.inodes[self.inode] = inode
            return !fails
        }
        if !isDone { throw IOFailure(code: EIO, call: "fdatasync", path: self.path) }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
