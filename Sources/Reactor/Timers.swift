import NIOCore

/// What is to be done at its time, the soonest first; what has the same time in the order in which it came.
///
/// A loop has a handful of timers (no request has one), so a sorted array is enough.
struct Timers<Action> {
    private struct Entry {
        let id: UInt64
        let deadline: NIODeadline
        let action: Action
    }

    /// The soonest last.
    private var entries: [Entry] = []
    private var lastID: UInt64 = 0

    var next: NIODeadline? { self.entries.last?.deadline }

    /// - Returns: what `cancel` takes.
    mutating func add(at deadline: NIODeadline, _ action: Action) -> UInt64 {
        self.lastID += 1
        let place = self.entries.firstIndex { $0.deadline <= deadline } ?? self.entries.endIndex
        self.entries.insert(Entry(id: self.lastID, deadline: deadline, action: action), at: place)
        return self.lastID
    }

    mutating func cancel(_ id: UInt64) {
        self.entries.removeAll { $0.id == id }
    }

    /// The soonest action whose time has come.
    mutating func takeDue(_ now: NIODeadline) -> Action? {
        guard let last = self.entries.last, last.deadline <= now else { return nil }
        return self.entries.removeLast().action
    }

    mutating func takeAll() -> [Action] {
        defer { self.entries = [] }
        return self.entries.reversed().map(\.action)
    }
}
