/// Who reads a part of a source, so that several workers share its parts.
public struct Lease: Sendable, Hashable {
    /// A shard.
    public var part: String
    /// Empty: nobody.
    public var owner: String
    /// Grows with every change, so that an owner who is alive is seen to be; 0: there is no such lease yet.
    public var counter: Int64

    public init(part: String, owner: String, counter: Int64) {
        self.part = part
        self.owner = owner
        self.counter = counter
    }
}

/// Keeps leases where all workers see them.
public protocol LeaseStore: CheckpointStore {
    func leases(of source: String) async throws(StreamFailure) -> [Lease]

    /// Writes `new` if what is kept still has the counter of `old`.
    ///
    /// - Returns: false where it has not.
    func replace(_ old: Lease, by new: Lease, of source: String) async throws(StreamFailure) -> Bool
}

/// Which parts a worker renews, takes and takes over, as a value without I/O.
///
/// No clock is shared: a lease is dead when its counter was seen not to change for the lease's duration. Every worker
/// aims at an equal share; who has too little takes what nobody holds, or else one part at a time from the worker who
/// has most.
struct LeaseBoard: Sendable {
    enum Step: Sendable, Equatable {
        case renew(Lease)
        case take(Lease)
    }

    private struct Sight {
        var counter: Int64
        var since: Duration
    }

    let worker: String
    let duration: Duration
    private var sights: [String: Sight] = [:]

    init(worker: String, duration: Duration) {
        self.worker = worker
        self.duration = duration
    }

    /// - Parameters:
    ///   - parts: what there is to read.
    ///   - leases: as they are kept now.
    ///   - now: on any clock that never goes back.
    mutating func steps(parts: [String], leases: [Lease], now: Duration) -> [Step] {
        for lease in leases where self.sights[lease.part]?.counter != lease.counter {
            self.sights[lease.part] = Sight(counter: lease.counter, since: now)
        }
        let kept = Dictionary(leases.map { ($0.part, $0) }) { first, _ in first }
        let live = leases.filter { self.isAlive($0, now) && parts.contains($0.part) }
        let mine = live.filter { $0.owner == self.worker }
        let workers = Set(live.map(\.owner)).union([self.worker])
        let share = (parts.count + workers.count - 1) / workers.count
        let held = Set(live.map(\.part))
        let free = parts.filter { !held.contains($0) }
        var steps = mine.map { Step.renew($0) }
        let wanted = free.prefix(max(0, share - mine.count))
        steps += wanted.map { .take(kept[$0] ?? Lease(part: $0, owner: "", counter: 0)) }
        if wanted.isEmpty, let taken = self.excess(live, mine.count, share) { steps.append(.take(taken)) }
        return steps
    }

    private func isAlive(_ lease: Lease, _ now: Duration) -> Bool {
        guard !lease.owner.isEmpty, let sight = self.sights[lease.part] else { return false }
        return now - sight.since < self.duration
    }

    /// A lease of the worker who has most, where that evens things out.
    private func excess(_ live: [Lease], _ mine: Int, _ share: Int) -> Lease? {
        guard mine < share else { return nil }
        let byOwner = Dictionary(grouping: live.filter { $0.owner != self.worker }, by: \.owner)
        guard let most = byOwner.values.max(by: { ($0.count, $0[0].owner) < ($1.count, $1[0].owner) }),
            most.count > mine + 1
        else { return nil }
        return most.min { $0.part < $1.part }
    }
}
