public import TrackingModel

extension ProgramCache {
    /// What became of a change.
    public enum Applied: Equatable, Sendable {
        case applied
        /// Not newer than what is held, or about nothing that is held.
        case ignored
    }

    public mutating func apply(_ change: CoreDataChange, now: UInt64) -> Applied {
        switch change {
        case .program(let program, let origin):
            return self.apply(program, origin: origin, now: now)
        case .deleted(let id, let version, _):
            return self.applyDeletion(of: id, version: version, now: now)
        case .reread(let id):
            return self.doubt(id)
        case .recheckAll:
            self.epoch &+= 1
            for id in self.loads.keys { self.loads[id]?.mustReadAgain = true }
            return .applied
        case .replacedAll:
            self.epoch &+= 1
            self.programs.removeAll()
            self.absences.removeAll()
            self.tombstones.removeAll()
            self.passed.removeAll()
            return .applied
        }
    }

    private mutating func apply(_ program: Program, origin: CoreDataChange.Origin, now: UInt64) -> Applied {
        guard let version = program.version else { return self.applyUnversioned(program, now: now) }
        if let deleted = self.tombstones[program.id], version <= deleted { return .ignored }
        if let passed = self.passed[program.id], version < passed { return .ignored }
        if (self.loads[program.id]?.pushed?.version ?? -1) < version { self.loads[program.id]?.pushed = program }
        if let index = self.held(program.id) {
            guard (self.programs[index].version ?? -1) < version else { return .ignored }
            self.keep(program, epoch: self.epoch, now: now)
            return .applied
        }
        self.forgetAbsence(of: program.id)
        // What is not held and never was can't be newer elsewhere; else the next read decides. A full cache is for
        // programs that are asked for, not for all that change.
        guard self.remembersAll else { return .ignored }
        guard origin != .learned, self.programs.count < self.limits.capacity else {
            self.pass(program.id, version: version)
            return .ignored
        }
        self.passed[program.id] = nil
        self.keep(program, epoch: self.epoch, now: now)
        return .applied
    }

    /// From older tools: nothing says how old it is.
    private mutating func applyUnversioned(_ program: Program, now: UInt64) -> Applied {
        self.loads[program.id]?.mustReadAgain = true
        self.forgetAbsence(of: program.id)
        guard let index = self.held(program.id) else { return .ignored }
        guard self.programs[index].version == nil else { return self.doubt(program.id) }
        self.keep(program, epoch: self.epoch, now: now)
        return .applied
    }

    private mutating func applyDeletion(of id: ProgramID, version: Int64?, now: UInt64) -> Applied {
        guard let version else {
            self.loads[id]?.mustReadAgain = true
            guard let index = self.held(id) else { return .ignored }
            guard self.programs[index].version == nil else { return self.doubt(id) }
            self.programs.remove(index)
            return .applied
        }
        guard version > self.tombstones[id] ?? -1 else { return .ignored }
        let held = self.held(id)
        if let held, (self.programs[held].version ?? -1) > version { return .ignored }
        self.bury(id, version: version)
        if let pushed = self.loads[id]?.pushed?.version, pushed <= version { self.loads[id]?.pushed = nil }
        guard let held else {
            // The message may be old and the program back by now: the next read tells.
            self.forgetAbsence(of: id)
            return .applied
        }
        self.programs.remove(held)
        self.keepAbsence(of: id, .unknown, epoch: self.epoch, now: now)
        return .applied
    }

    /// Remembers the version of a program that is not taken in, though others may show it.
    mutating func pass(_ id: ProgramID, version: Int64) {
        if self.passed.count >= self.limits.tombstones, self.passed[id] == nil {
            self.passed.removeAll(keepingCapacity: false)
            self.remembersAll = false
            return
        }
        self.passed[id] = max(version, self.passed[id] ?? 0)
    }

    private mutating func bury(_ id: ProgramID, version: Int64) {
        if self.tombstones.count >= self.limits.tombstones, self.tombstones[id] == nil {
            self.tombstones.removeAll(keepingCapacity: true)
            self.remembersAll = false
            // What is being read may be older than a deletion that is forgotten now.
            for id in self.loads.keys { self.loads[id]?.mustReadAgain = true }
        }
        self.tombstones[id] = version
    }

    /// Makes the next request read the program again. What is held still counts when versions are compared.
    private mutating func doubt(_ id: ProgramID) -> Applied {
        self.loads[id]?.mustReadAgain = true
        self.forgetAbsence(of: id)
        guard let index = self.held(id) else { return .ignored }
        self.programs.lives[index].epoch = self.epoch &- 1
        self.programs.lives[index].staleUntil = 0
        return .applied
    }
}
