import NIOCore

/// Which records are done, from the oldest that is not to the newest that was taken: 16 bytes each.
///
/// What lies below ``low`` is acknowledged to the journal, so ``low`` never passes a record that is not done.
struct SequenceWindow: Sendable {
    private enum Mark: Sendable {
        case open
        case delivered
        case quarantined
    }

    private struct Entry: Sendable {
        var sequence: UInt64
        var mark: Mark
    }

    /// In order; sequences that were lost in the journal have none.
    private var entries = CircularBuffer<Entry>(initialCapacity: 1024)
    /// The sequence after the newest one that was taken.
    private var end: UInt64
    /// Records below ``low`` that were kept aside instead of delivered.
    private(set) var quarantinedBelow: UInt64 = 0

    init(from sequence: UInt64) { self.end = sequence }

    /// The oldest sequence that is not done, or the next one to come.
    var low: UInt64 { self.entries.first?.sequence ?? self.end }
    var count: Int { self.entries.count }

    /// A record was taken; what was jumped over does not exist.
    mutating func opened(_ sequence: UInt64) {
        assert(sequence >= self.end, "records are taken in order")
        self.entries.append(Entry(sequence: sequence, mark: .open))
        self.end = sequence &+ 1
    }

    /// Nothing exists between the newest record and this sequence.
    mutating func skipped(to sequence: UInt64) { self.end = max(self.end, sequence) }

    mutating func delivered(_ sequence: UInt64) { self.close(sequence, .delivered) }

    mutating func quarantined(_ sequence: UInt64) { self.close(sequence, .quarantined) }

    private mutating func close(_ sequence: UInt64, _ mark: Mark) {
        guard let place = self.place(of: sequence), self.entries[place].mark == .open else {
            return assertionFailure("a record is done once")
        }
        self.entries[place].mark = mark
        while let first = self.entries.first, first.mark != .open {
            self.entries.removeFirst()
            if first.mark == .quarantined { self.quarantinedBelow &+= 1 }
        }
    }

    private func place(of sequence: UInt64) -> CircularBuffer<Entry>.Index? {
        var (least, most) = (0, self.entries.count)
        while least < most {
            let middle = (least + most) / 2
            if self.entries[self.index(middle)].sequence < sequence { least = middle + 1 } else { most = middle }
        }
        guard least < self.entries.count, self.entries[self.index(least)].sequence == sequence else { return nil }
        return self.index(least)
    }

    private func index(_ distance: Int) -> CircularBuffer<Entry>.Index {
        self.entries.index(self.entries.startIndex, offsetBy: distance)
    }
}
