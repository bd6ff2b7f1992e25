import NIOCore

/// The commands whose replies have not come, in the order they were sent, with one constant deadline for each.
///
/// Replies come in this order too, and deadlines pass in this order, so a queue is all that is needed. A command that ran
/// out of time gives up its waiter and keeps its place, so that the late reply is matched with it and not with the next.
struct PendingReplies<Waiter> {
    struct Limits {
        var commands: Int
        /// Bytes of the commands as they were sent.
        var bytes: Int
    }

    private struct Entry {
        var waiter: Waiter?
        let deadline: NIODeadline
        let byteCount: Int
    }

    private let limits: Limits
    private var entries: CircularBuffer<Entry>
    private var byteCount = 0
    /// How many entries from the front have passed their deadline.
    private var lateCount = 0

    init(limits: Limits) {
        self.limits = limits
        self.entries = CircularBuffer(initialCapacity: 64)
    }

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    /// The next deadline to pass, if any command still has one.
    var nextDeadline: NIODeadline? {
        lateCount < entries.count ? entries[offset: lateCount].deadline : nil
    }

    /// The deadline of the oldest command, passed or not.
    var oldestDeadline: NIODeadline? { entries.first?.deadline }

    func hasRoom(for bytes: Int, commands: Int = 1) -> Bool {
        commands <= limits.commands - entries.count && bytes <= limits.bytes - byteCount
    }

    /// A command was sent; its deadline must not be before those already here.
    mutating func append(_ waiter: Waiter, deadline: NIODeadline, byteCount bytes: Int) {
        assert(hasRoom(for: bytes), "the bound is asked before sending")
        byteCount += bytes
        entries.append(Entry(waiter: waiter, deadline: deadline, byteCount: bytes))
    }

    enum Match {
        case waiter(Waiter)
        /// The reply of a command that ran out of time before.
        case late
        /// Nobody asked for this.
        case unasked
    }

    /// A reply came: it belongs to the oldest command.
    mutating func replied() -> Match {
        guard let entry = entries.popFirst() else { return .unasked }
        byteCount -= entry.byteCount
        lateCount = max(0, lateCount - 1)
        return entry.waiter.map { .waiter($0) } ?? .late
    }

    /// Takes the waiter of the oldest command whose deadline is at or before `now`; call until nil.
    mutating func popOverdue(at now: NIODeadline) -> Waiter? {
        while lateCount < entries.count, entries[offset: lateCount].deadline <= now {
            let waiter = entries[offset: lateCount].waiter
            entries[offset: lateCount].waiter = nil
            lateCount += 1
            if let waiter { return waiter }
        }
        return nil
    }

    /// The connection is lost: takes every waiter that is left, oldest first, and forgets all.
    mutating func removeAll() -> [Waiter] {
        let waiters = entries.compactMap { $0.waiter }
        entries.removeAll(keepingCapacity: entries.count <= 1024)
        byteCount = 0
        lateCount = 0
        return waiters
    }
}

extension CircularBuffer {
    fileprivate subscript(offset distance: Int) -> Element {
        get { self[index(startIndex, offsetBy: distance)] }
        set { self[index(startIndex, offsetBy: distance)] = newValue }
    }
}
