public import TrackingModel

/// The programs that one event loop has in memory (L1), and what it knows of those it has not.
///
/// A value machine without I/O: the owner asks, reads from the source when told to, and hands in what came back. Time is
/// an argument, in nanoseconds of the monotonic clock. Versions never go back, whatever order pushes and replies take:
///  - a push applies when it is newer than what is held, and is remembered for a read that is under way;
///  - a reply gives way to a newer push or a newer held program;
///  - a deleted version stays known, so nothing at or below it returns.
public struct ProgramCache {
    public struct Limits: Sendable {
        public var capacity = 100_000
        /// Nanoseconds, jittered by ±10 % for each entry so that what came together doesn't expire together.
        public var ttl: UInt64 = 600_000_000_000
        public var negativeCapacity = 16_384
        public var negativeTTL: UInt64 = 2_000_000_000
        /// How long beyond its TTL a program serves while the source is away.
        public var staleMax: UInt64 = 86_400_000_000_000
        /// While the source is away, an expired program is served this long before it is asked for again.
        public var staleRetry: UInt64 = 1_000_000_000
        public var tombstones = 65_536

        public init() {}
    }

    public enum Lookup {
        case hit(RenderedProgram)
        /// Expired, but its source could not be reached a moment ago.
        case stale(RenderedProgram)
        case unknown
        case malformed
        /// Ask for it with `beginLoad`.
        case miss
        /// The bytes are no id at all.
        case noID
    }

    /// How a load ended, for those who waited for it.
    public enum Outcome {
        case program(RenderedProgram, isStale: Bool)
        case unknown
        case malformed
        case unreachable
    }

    public struct Counts: Sendable {
        public var hits: UInt64 = 0
        public var stale: UInt64 = 0
        public var negative: UInt64 = 0
        public var misses: UInt64 = 0

        public init() {}
    }

    let limits: Limits
    var programs: LRUTable<RenderedProgram>
    var absences: LRUTable<Absence>
    var loads: [ProgramID: Load] = [:]
    /// Versions of deleted programs.
    var tombstones: [ProgramID: Int64] = [:]
    /// Versions of programs that were pushed, or read by another loop, and not taken in.
    var passed: [ProgramID: Int64] = [:]
    /// False once something that carried a version had to be forgotten: from then on what is not held may have been known
    /// before, in a version we can't compare with.
    var remembersAll = true
    /// Raised to make everything held doubtful.
    var epoch: UInt32 = 0
    public private(set) var counts = Counts()
    /// For what need not be secret; the system's own costs a call into it.
    private var random = RandomBits()

    public init(_ limits: Limits) {
        self.limits = limits
        self.programs = LRUTable(capacity: limits.capacity)
        self.absences = LRUTable(capacity: limits.negativeCapacity)
    }

    /// Programs held; ids known to have none are not counted.
    public var count: Int { self.programs.count }

    /// Announces a look-up: where the program is held, its memory is on the way to the core until then.
    public mutating func prefetch(_ id: Span<UInt8>) { self.programs.prefetch(id) }

    /// - Parameter id: as it came from outside. What is held is an id, so only what isn't has to be looked at.
    public mutating func lookup(_ id: Span<UInt8>, now: UInt64) -> Lookup {
        if let index = self.programs.find(id) {
            let life = self.programs.lives[index]
            if now < life.freshUntil, life.epoch == self.epoch {
                self.programs.touch(index)
                self.counts.hits &+= 1
                return .hit(self.programs[index])
            }
            if now < life.staleUntil {
                self.programs.touch(index)
                self.counts.stale &+= 1
                return .stale(self.programs[index])
            }
        }
        if self.absences.count > 0, let index = self.absences.find(id) {
            let life = self.absences.lives[index]
            if now < life.freshUntil, life.epoch == self.epoch {
                self.counts.negative &+= 1
                return self.absences[index].kind == .unknown ? .unknown : .malformed
            }
            self.absences.remove(index)
        }
        guard ProgramID.isValid(id) else { return .noID }
        self.counts.misses &+= 1
        return .miss
    }

    func held(_ id: ProgramID) -> Int? {
        var text = id.text
        return text.withUTF8 { self.programs.find($0.span) }
    }

    /// Puts a program in its place and makes it fresh.
    @discardableResult
    mutating func keep(_ program: Program, epoch: UInt32, now: UInt64) -> RenderedProgram {
        let rendered = RenderedProgram(program)
        self.forgetAbsence(of: program.id)
        if let index = self.held(program.id) {
            self.programs[index] = rendered
            self.refresh(index, epoch: epoch, now: now)
        } else if self.programs.insert(rendered, freshUntil: self.freshUntil(now), epoch: epoch) {
            self.remembersAll = false
        }
        return rendered
    }

    mutating func refresh(_ index: Int, epoch: UInt32, now: UInt64) {
        self.programs.lives[index].freshUntil = self.freshUntil(now)
        self.programs.lives[index].staleUntil = 0
        self.programs.lives[index].epoch = epoch
    }

    private mutating func freshUntil(_ now: UInt64) -> UInt64 {
        now &+ Self.jittered(self.limits.ttl, using: &self.random)
    }

    /// Uniformly within ±10 %.
    static func jittered(_ nanoseconds: UInt64, using random: inout RandomBits) -> UInt64 {
        let tenth = nanoseconds / 10
        return nanoseconds - tenth + UInt64.random(in: 0...(2 * tenth), using: &random)
    }

    mutating func keepAbsence(of id: ProgramID, _ kind: Absence.Kind, epoch: UInt32, now: UInt64) {
        self.forgetAbsence(of: id)
        guard self.limits.negativeTTL > 0 else { return }
        _ = self.absences.insert(
            Absence(id: id, kind: kind),
            freshUntil: now &+ self.limits.negativeTTL,
            epoch: epoch
        )
    }

    mutating func forgetAbsence(of id: ProgramID) {
        guard self.absences.count > 0 else { return }
        var text = id.text
        if let index = text.withUTF8({ self.absences.find($0.span) }) { self.absences.remove(index) }
    }
}
