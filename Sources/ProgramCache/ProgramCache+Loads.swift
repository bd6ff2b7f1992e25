public import TrackingModel

/// Somebody who waits for a program.
public protocol ProgramWaiter: AnyObject {
    func programArrived(_ outcome: ProgramCache.Outcome)
}

extension ProgramCache {
    /// One read that is under way; all who miss the same id wait for it.
    struct Load {
        private(set) var waiters: [any ProgramWaiter]
        let epoch: UInt32
        private var push = Push.none
        /// A push without a version came: what the read brings may be older, so read again.
        var mustReadAgain = false

        /// In a box, as most reads have none.
        private indirect enum Push {
            case none
            case program(Program)
        }

        init(waiters: [any ProgramWaiter] = [], epoch: UInt32) {
            self.waiters = waiters
            self.epoch = epoch
        }

        /// The newest push since the read began.
        var pushed: Program? {
            get { if case .program(let program) = self.push { program } else { nil } }
            set { self.push = newValue.map(Push.program) ?? .none }
        }

        var hasPush: Bool { if case .program = self.push { true } else { false } }

        /// True: nobody waited before.
        mutating func add(_ waiter: any ProgramWaiter) -> Bool {
            self.waiters.append(waiter)
            return self.waiters.count == 1
        }
    }

    /// True: the caller has to read the program from the source. False: somebody else's read is under way.
    public mutating func beginLoad(_ id: ProgramID, waiter: any ProgramWaiter) -> Bool {
        let beginning = Load(epoch: self.epoch)
        return self.loads[id, default: beginning].add(waiter)
    }

    public enum LoadEnd {
        case settled(Outcome, waiters: [any ProgramWaiter])
        case readAgain
    }

    /// Enters what a read brought.
    public mutating func endLoad(_ id: ProgramID, _ reading: ProgramReading, now: UInt64) -> LoadEnd {
        guard let load = self.loads.removeValue(forKey: id) else { return .settled(.unreachable, waiters: []) }
        if self.isDoubtful(reading, load) {
            // The new read begins after every push so far, so it needs none of them.
            self.loads[id] = Load(waiters: load.waiters, epoch: self.epoch)
            return .readAgain
        }
        return .settled(self.outcome(of: load, id, reading, now: now), waiters: load.waiters)
    }

    /// Whether the source may have changed after it answered, or before what was pushed: nothing says which is older.
    private func isDoubtful(_ reading: ProgramReading, _ load: Load) -> Bool {
        switch reading {
        case .program: load.mustReadAgain
        case .absent, .malformed: load.mustReadAgain || load.hasPush
        case .unreachable: false
        }
    }

    private mutating func outcome(of load: Load, _ id: ProgramID, _ reading: ProgramReading, now: UInt64) -> Outcome {
        if let program = self.newest(load, id, reading) {
            if let index = self.held(id), let held = self.programs[index].version,
                let version = program.version, held >= version
            {
                self.refresh(index, epoch: load.epoch, now: now)
                return .program(self.programs[index], isStale: false)
            }
            return .program(self.keep(program, epoch: load.epoch, now: now), isStale: false)
        }
        switch reading {
        case .program, .absent:
            if let index = self.held(id) {
                // No deletion has come yet that says which versions are gone.
                if let version = self.programs[index].version, version < .max {
                    self.pass(id, version: version + 1)
                }
                self.programs.remove(index)
            }
            self.keepAbsence(of: id, .unknown, epoch: load.epoch, now: now)
            return .unknown
        case .malformed:
            self.keepAbsence(of: id, .malformed, epoch: load.epoch, now: now)
            return .malformed
        case .unreachable:
            return self.staleOutcome(id, now: now)
        }
    }

    /// The newer of the push and the reading, unless it was deleted in that version.
    private func newest(_ load: Load, _ id: ProgramID, _ reading: ProgramReading) -> Program? {
        let newest: Program?
        switch reading {
        case .program(let read):
            newest = load.pushed.flatMap { ($0.version ?? -1) > (read.version ?? -1) ? $0 : nil } ?? read
        case .unreachable where !self.remembersAll:
            // A newer one than the push may have been held, and given way.
            newest = nil
        case .absent, .malformed, .unreachable:
            newest = load.pushed
        }
        if let version = newest?.version, let deleted = self.tombstones[id], version <= deleted { return nil }
        return newest
    }

    private mutating func staleOutcome(_ id: ProgramID, now: UInt64) -> Outcome {
        guard let index = self.held(id), now < self.programs.lives[index].freshUntil &+ self.limits.staleMax else {
            return .unreachable
        }
        self.programs.lives[index].staleUntil = now &+ self.limits.staleRetry
        self.programs.touch(index)
        return .program(self.programs[index], isStale: true)
    }
}
