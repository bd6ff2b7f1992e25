/// Decides when the records of a sink go: by count, bytes or age, whichever comes first.
///
/// A value without I/O and without a clock; times are milliseconds of a clock that never jumps.
struct Batcher: Sendable, Equatable {
    enum Action: Sendable, Equatable {
        /// Read on, at most so much; if nothing comes, ask again at `until`.
        case take(records: Int, bytes: Int, until: UInt64)
        case send
    }

    private enum State: Sendable, Equatable {
        case empty
        case gathering(since: UInt64, records: Int, bytes: Int)
        case draining(records: Int)
    }

    private let limits: BatchLimits
    private var state = State.empty

    init(_ limits: BatchLimits) {
        self.limits = limits
    }

    var records: Int {
        switch self.state {
        case .empty: 0
        case .gathering(_, let records, _), .draining(let records): records
        }
    }

    /// What to do at this time.
    func action(at now: UInt64) -> Action {
        switch self.state {
        case .empty:
            return .take(records: self.limits.records, bytes: self.limits.bytes, until: now &+ UInt64(self.limits.age))
        case .gathering(let since, let records, let bytes):
            let end = since &+ UInt64(self.limits.age)
            if records >= self.limits.records || bytes >= self.limits.bytes || now >= end { return .send }
            return .take(records: self.limits.records - records, bytes: self.limits.bytes - bytes, until: end)
        case .draining:
            return .send
        }
    }

    /// Records were read.
    mutating func took(records: Int, bytes: Int, at now: UInt64) {
        switch self.state {
        case .empty:
            self.state = .gathering(since: now, records: records, bytes: bytes)
        case .gathering(let since, let held, let heldBytes):
            self.state = .gathering(since: since, records: held + records, bytes: heldBytes + bytes)
        case .draining(let held):
            self.state = .draining(records: held + records)
        }
    }

    /// No record fits into the batch any more, though its limits are not reached.
    mutating func isFull() {
        self.state = .draining(records: self.records)
    }

    /// The batch went.
    mutating func sent() {
        self.state = .empty
    }
}
