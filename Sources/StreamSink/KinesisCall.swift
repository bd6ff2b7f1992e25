import AWSTransport
import NIOCore

/// One `PutRecords`, and which of its entries each record of a batch went into.
struct KinesisCall: ~Copyable {
    private enum Place {
        case entry(Int)
        case never(String)
        case noRoom
    }

    private var places: [Place] = []
    private var body: PutRecordsBody?
    /// Of entries.
    private(set) var count = 0

    /// Each record is an entry.
    init(_ batch: RecordBatch) {
        var body = PutRecordsBody(expectedBytes: batch.records.reduce(0) { $0 + $1.cost })
        self.places.reserveCapacity(batch.records.count)
        for record in batch.records {
            let place = record.withDataAndKey { data, key in Self.append(data, key, to: &body) }
            self.places.append(place)
        }
        self.count = body.count
        self.body = consume body
    }

    /// Records of one lane share entries of about 50 KiB.
    init(aggregating batch: RecordBatch) {
        var body = PutRecordsBody()
        self.places = Array(repeating: .noRoom, count: batch.records.count)
        let lanes = Dictionary(grouping: batch.records.indices) { batch.records[$0].lane }
        for (_, indices) in lanes.sorted(by: { $0.key < $1.key }) {
            var open = AggregatedRecord()
            var inside: [Int] = []
            for index in indices {
                while !batch.records[index].withDataAndKey({ open.append(data: $0, key: $1) }) {
                    self.close(&open, &inside, &body)
                }
                inside.append(index)
            }
            self.close(&open, &inside, &body)
        }
        self.count = body.count
        self.body = consume body
    }

    private mutating func close(_ open: inout AggregatedRecord, _ inside: inout [Int], _ body: inout PutRecordsBody) {
        let place = open.finish().withUnsafeBytes { data in
            open.partitionKey.withUnsafeBytes { key in Self.append(data, key, to: &body) }
        }
        for index in inside { self.places[index] = place }
        open = AggregatedRecord()
        inside = []
    }

    private static func append(
        _ data: UnsafeRawBufferPointer,
        _ key: UnsafeRawBufferPointer,
        to body: inout PutRecordsBody
    ) -> Place {
        switch body.append(data: data, key: key) {
        case .fitted: .entry(body.count - 1)
        case .full: .noRoom
        case .never(let misfit): .never(misfit.rawValue)
        }
    }

    /// Once; empty from then on.
    mutating func takeBody() -> PutRecordsBody { self.body.take() ?? PutRecordsBody() }

    /// - Parameter entries: what became of each entry; one that is missing here is not known.
    func outcomes(of entries: [RecordOutcome]) -> [RecordOutcome] {
        self.places.map { place in
            switch place {
            case .entry(let index) where index < entries.count: entries[index]
            case .entry: .failed(code: "not answered")
            case .never(let reason): .refused(reason: reason)
            case .noRoom: .failed(code: "no room in the call")
            }
        }
    }
}

extension OutboundRecord {
    /// The key is the message id; a record without one is told apart by its sequence.
    fileprivate func withDataAndKey<R>(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> R) -> R {
        self.bytes.withUnsafeReadableBytes { data in
            if self.keyRange.isEmpty {
                return Array(String(self.sequence).utf8).withUnsafeBytes { body(data, $0) }
            }
            return body(data, UnsafeRawBufferPointer(rebasing: data[self.keyRange]))
        }
    }
}
