import NIOCore

@testable import StreamSink

/// Numbered records, each in one of some lanes.
func outbound(_ sequences: Range<UInt64>, bytes: Int = 10, lanes: Int = 1) -> [OutboundRecord] {
    sequences.map { sequence in
        OutboundRecord(
            sequence: sequence,
            bytes: ByteBuffer(repeating: UInt8(truncatingIfNeeded: sequence), count: bytes),
            keyRange: 0..<min(4, bytes),
            lane: Int(sequence % UInt64(lanes))
        )
    }
}

extension DeliveryMachine {
    init(
        _ change: (inout DeliveryLimits, inout RetryPolicy, inout PutLimits) -> Void = { _, _, _ in },
        seed: UInt64 = 1
    ) {
        var limits = DeliveryLimits()
        var policy = RetryPolicy()
        var put = PutLimits(records: 500, bytes: 5 << 20, recordBytes: 1 << 20)
        change(&limits, &policy, &put)
        self.init(limits: limits, put: put, policy: policy, position: 1, seed: seed)
    }

    /// Gives it all records that it asks for, from a source that has `available`, until it begins a call or rests.
    mutating func nextCall(_ source: inout RecordSource, at now: UInt64) -> RecordBatch? {
        while true {
            switch self.next(at: now) {
            case .put(let batch): return batch
            case .take(let records, let bytes): source.give(records, bytes, to: &self, at: now)
            case .keepAside: self.keptAside()
            case .rest: return nil
            }
        }
    }

    mutating func answer(_ batch: RecordBatch, _ outcome: RecordOutcome, at now: UInt64) {
        _ = self.answered(batch.number, .answered(batch.records.map { _ in outcome }), at: now)
    }
}

/// Records that come one after the other, from 1.
struct RecordSource {
    var next: UInt64 = 1
    var end: UInt64
    var bytes = 10
    var lanes = 1

    init(_ count: UInt64, bytes: Int = 10, lanes: Int = 1) {
        self.end = count + 1
        self.bytes = bytes
        self.lanes = lanes
    }

    mutating func give(_ records: Int, _ most: Int, to machine: inout DeliveryMachine, at now: UInt64) {
        // As the journal does: at least one, then as many as fit.
        let fitting = UInt64(max(1, min(records, most / self.bytes)))
        let range = self.next..<min(self.end, self.next + fitting)
        guard !range.isEmpty else { return machine.foundNothing(position: self.next) }
        self.next = range.upperBound
        machine.took(outbound(range, bytes: self.bytes, lanes: self.lanes), at: now)
    }
}
