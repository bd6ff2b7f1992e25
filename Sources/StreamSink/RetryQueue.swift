import NIOCore

/// Records to be sent again, by lane and by the time from which on they may be; and lanes that are held up.
///
/// A value without a clock; times in milliseconds.
struct RetryQueue: Sendable {
    /// Records of one lane that failed together, or waited together for their lane.
    private struct Group: Sendable {
        var lane: Int
        var readyAt: UInt64
        /// Whether sending them is sending again.
        var costsBudget: Bool
        var records: CircularBuffer<OutboundRecord>
    }

    private struct Hold: Sendable {
        var until: UInt64
        /// Answers in a row that throttled the lane and delivered nothing of it.
        var failures: Int
    }

    private var groups: [Group] = []
    private var holds: [Int: Hold] = [:]
    private(set) var count = 0

    func isHeld(_ lane: Int, at now: UInt64) -> Bool {
        guard let hold = self.holds[lane] else { return false }
        return now < hold.until
    }

    /// The lane throttled; what belongs to it waits.
    mutating func hold(_ lane: Int, until: UInt64, failures: Int) {
        self.holds[lane] = Hold(until: max(until, self.holds[lane]?.until ?? 0), failures: failures)
    }

    /// How often the lane throttled in a row.
    func failures(of lane: Int) -> Int { self.holds[lane]?.failures ?? 0 }

    /// The lane took records: its next pause is a short one.
    mutating func tookRecords(_ lane: Int, at now: UInt64) {
        guard let hold = self.holds[lane] else { return }
        if hold.until <= now { self.holds[lane] = nil } else { self.holds[lane]?.failures = 0 }
    }

    mutating func append(_ records: [OutboundRecord], lane: Int, readyAt: UInt64, costsBudget: Bool) {
        guard !records.isEmpty else { return }
        self.count += records.count
        // Records that wait for their lane before they were ever sent join those in front of them.
        if !costsBudget, let last = self.groups.lastIndex(where: { $0.lane == lane && !$0.costsBudget }) {
            self.groups[last].records.append(contentsOf: records)
            return
        }
        let group = Group(lane: lane, readyAt: readyAt, costsBudget: costsBudget, records: CircularBuffer(records))
        self.groups.append(group)
    }

    /// When the first record may go, if any is waiting.
    var nextTime: UInt64? { self.groups.map { self.time(of: $0) }.min() }

    private func time(of group: Group) -> UInt64 { max(group.readyAt, self.holds[group.lane]?.until ?? 0) }

    /// Takes the records that may go now, oldest groups first, for as long as `take` says so.
    ///
    /// - Parameter budget: how many may be sent again.
    /// - Returns: how many of the budget were used.
    mutating func drain(at now: UInt64, budget: Int, _ take: (OutboundRecord) -> Bool) -> Int {
        var spent = 0
        scan: for index in self.groups.indices where self.time(of: self.groups[index]) <= now {
            while let record = self.groups[index].records.first {
                if self.groups[index].costsBudget, spent >= budget { continue scan }
                guard take(record) else { break scan }
                if self.groups[index].costsBudget { spent += 1 }
                self.groups[index].records.removeFirst()
                self.count -= 1
            }
        }
        self.groups.removeAll { $0.records.isEmpty }
        return spent
    }

    /// Whether a record could go now.
    func isReady(at now: UInt64, budget: Int) -> Bool {
        self.groups.contains { self.time(of: $0) <= now && (budget > 0 || !$0.costsBudget) }
    }
}
