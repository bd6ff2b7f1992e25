import Synchronization
import TrackingModel

/// Which entries of an event are settled: every record of them stored, or kept as a dead letter.
final class BatchBooks: Sendable {
    private let sequenceNumbers: [String]
    /// By entry, how many of its records are not settled.
    private let open: Mutex<[Int]>

    init(_ event: KinesisEvent) {
        self.sequenceNumbers = event.entries.map(\.sequenceNumber)
        self.open = Mutex(event.entries.map(\.records.count))
    }

    /// - Parameter entry: where it stands in the event; once for each of its records.
    func settled(_ entry: Int) { self.open.withLock { $0[entry] -= 1 } }

    /// For a stream Lambda gives everything from the lowest failed record on again, so that one is all it is told of.
    var answer: [UInt8] {
        let lowest = self.open.withLock { open in open.firstIndex { $0 > 0 } }
        var json = JSONText()
        json.beginObject()
        json.key("batchItemFailures")
        json.array(lowest.map { [self.sequenceNumbers[$0]] } ?? []) { json, number in
            json.beginObject()
            json.field("itemIdentifier", number)
            json.endObject()
        }
        json.endObject()
        return json.bytes
    }
}
