import Testing
import TrackingModel

@testable import ProgramCache

/// Core data as it really is, and its messages on their way, in any order and more than once.
private struct World {
    struct Truth {
        var version: Int64 = 0
        var exists = false
    }

    var truths: [Truth]
    var messages: [(id: Int, version: Int64, isDeletion: Bool)] = []
    /// A read under way; what it brings is decided at some moment between beginning and end.
    enum Read {
        case asked
        case answered(ProgramReading)
    }

    var reads: [Int: Read] = [:]
    var cache: ProgramCache
    var now: UInt64 = 0
    /// The highest version that somebody was shown.
    var shown: [Int64]
    /// The highest deletion that the cache has taken.
    var deleted: [Int64]
    var faults: [String] = []

    init(ids: Int, limits: ProgramCache.Limits) {
        self.truths = Array(repeating: Truth(), count: ids)
        self.shown = Array(repeating: -1, count: ids)
        self.deleted = Array(repeating: -1, count: ids)
        self.cache = ProgramCache(limits)
    }

    func program(_ id: Int, _ version: Int64) -> Program? {
        guard let id = ProgramID("p\(id)") else { return nil }
        var program = Program(id: id)
        program.version = version
        return program
    }

    mutating func show(_ id: Int, _ version: Int64?) {
        let version = version ?? -1
        if version < self.shown[id] { self.faults.append("p\(id): \(version) after \(self.shown[id])") }
        if version <= self.deleted[id] { self.faults.append("p\(id): \(version), deleted in \(self.deleted[id])") }
        if version > self.truths[id].version { self.faults.append("p\(id): \(version) never was") }
        self.shown[id] = max(self.shown[id], version)
    }

    /// Somebody writes core data.
    mutating func write(_ id: Int, isDeletion: Bool) {
        self.truths[id].version += 1
        self.truths[id].exists = !isDeletion
        self.messages.append((id, self.truths[id].version, isDeletion))
    }

    mutating func deliver(_ index: Int, isLast: Bool, origin: CoreDataChange.Origin) {
        let message = self.messages[index]
        if isLast { self.messages.remove(at: index) }
        guard let program = self.program(message.id, message.version) else { return }
        if message.isDeletion {
            let change = CoreDataChange.deleted(program.id, version: message.version, origin: .pushed)
            if self.cache.apply(change, now: self.now) == .applied {
                self.deleted[message.id] = max(self.deleted[message.id], message.version)
            }
        } else {
            _ = self.cache.apply(.program(program, origin: origin), now: self.now)
            // Another event loop answers with what it has learned.
            if case .learned = origin { self.shown[message.id] = max(self.shown[message.id], message.version) }
        }
    }

    mutating func look(_ id: Int) {
        let key = Array("p\(id)".utf8)
        switch self.cache.lookup(key.span, now: self.now) {
        case .hit(let program), .stale(let program): self.show(id, program.version)
        case .unknown, .malformed, .noID: break
        case .miss:
            guard let programID = ProgramID("p\(id)") else { return }
            if self.cache.beginLoad(programID, waiter: Waiter()) {
                self.reads[id] = .asked
            } else if self.reads[id] == nil {
                self.faults.append("p\(id): a read that nobody makes")
            }
        }
    }

    /// Redis answers now; the reply is on its way.
    mutating func answer(_ id: Int) {
        guard case .asked = self.reads[id] else { return }
        let truth = self.truths[id]
        let program = truth.exists ? self.program(id, truth.version) : nil
        self.reads[id] = .answered(program.map(ProgramReading.program) ?? .absent)
    }

    mutating func end(_ id: Int, isLost: Bool) {
        guard let programID = ProgramID("p\(id)"), let read = self.reads[id] else { return }
        let reading: ProgramReading
        switch read {
        case .answered(let answer) where !isLost: reading = answer
        case .asked where !isLost: return
        default: reading = .unreachable
        }
        switch self.cache.endLoad(programID, reading, now: self.now) {
        case .readAgain:
            self.reads[id] = .asked
        case .settled(.program(let program, _), _):
            self.reads[id] = nil
            self.show(id, program.version)
        case .settled:
            self.reads[id] = nil
        }
    }
}

@Suite("Versions never go back")
struct VersionOracleTests {
    private func run(seed: UInt64, steps: Int) -> [String] {
        var random = SeededBits(state: seed)
        let ids = Int.random(in: 1...4, using: &random)
        var limits = ProgramCache.Limits()
        limits.capacity = Int.random(in: 1...4, using: &random)
        limits.negativeCapacity = Int.random(in: 1...2, using: &random)
        limits.tombstones = Int.random(in: 1...3, using: &random)
        limits.ttl = 100
        limits.negativeTTL = 20
        limits.staleMax = 50
        limits.staleRetry = 5
        var world = World(ids: ids, limits: limits)
        for _ in 0..<steps {
            let id = Int.random(in: 0..<ids, using: &random)
            switch Int.random(in: 0..<24, using: &random) {
            case 0...2: world.write(id, isDeletion: Int.random(in: 0..<3, using: &random) == 0)
            case 3...7 where !world.messages.isEmpty:
                let index = Int.random(in: 0..<world.messages.count, using: &random)
                let origins: [CoreDataChange.Origin] = [.pushed, .verified, .learned]
                world.deliver(
                    index,
                    isLast: Int.random(in: 0..<3, using: &random) > 0,
                    origin: origins[Int.random(in: 0..<3, using: &random)]
                )
            case 8...14: world.look(id)
            case 15...17: world.answer(id)
            case 18...20: world.end(id, isLost: Int.random(in: 0..<6, using: &random) == 0)
            case 21: world.now += UInt64.random(in: 0...120, using: &random)
            case 22 where Int.random(in: 0..<5, using: &random) == 0: _ = world.cache.apply(.recheckAll, now: world.now)
            case 23:
                if let programID = ProgramID("p\(id)") { _ = world.cache.apply(.reread(programID), now: world.now) }
            default: break
            }
            if !world.faults.isEmpty { break }
        }
        self.settle(&world)
        return world.faults
    }

    /// Once every message and reply has come, the cache says what is true.
    private func settle(_ world: inout World) {
        guard world.faults.isEmpty else { return }
        while !world.messages.isEmpty { world.deliver(0, isLast: true, origin: .pushed) }
        for id in world.truths.indices {
            for _ in 0..<3 {
                world.answer(id)
                world.end(id, isLost: false)
            }
            world.now += 21
            world.look(id)
            world.answer(id)
            world.end(id, isLost: false)
            let truth = world.truths[id]
            let seen = world.cache.see("p\(id)", now: world.now)
            let expected: ProgramCache.Seen = truth.exists ? .hit(truth.version) : .unknown
            if seen != expected { world.faults.append("p\(id): \(seen) instead of \(expected)") }
        }
    }

    @Test("whatever order pushes, deletes, replies, rechecks and evictions take", arguments: 1...8)
    func interleavings(block: Int) {
        for run in 0..<400 {
            let seed = UInt64(block * 1_000_000 + run)
            let faults = self.run(seed: seed, steps: 250)
            guard faults.isEmpty else {
                Issue.record("seed \(seed): \(faults)")
                return
            }
        }
    }
}
