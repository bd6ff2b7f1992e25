import AWSTransport
import Glibc
public import Logging

/// A Kinesis stream: all its shards, those that were split or merged before those that came of it, shared with other
/// workers through leases.
///
/// Its parts are shards, its positions sequence numbers (text: they have up to 56 digits) or the end of a closed shard.
public actor KinesisSource: RecordSource {
    /// A shard that this worker holds.
    private struct Reading {
        var lease: Lease
        var iterator: String?
        var last: String?
        /// A shard may be read five times a second by all its readers.
        var nextRead: ContinuousClock.Instant
        var millisecondsBehind = 0
        /// Reads in a row that found the end of a closed shard.
        var emptyReads = 0
    }

    /// A closed shard's end is told by the absence of an iterator; servers that always give one (moto) are believed after
    /// so many empty reads.
    private static let emptyReadsAtEnd = 3

    /// Five reads a second are allowed for a shard; one worker makes at most four.
    private static let readInterval = Duration.milliseconds(250)
    private static let throttlePause = Duration.seconds(1)
    private static let shardInterval = Duration.seconds(10)

    public nonisolated let name: String
    private let calls: KinesisCalls
    private let store: any LeaseStore
    private let logger: Logger
    private let start = ContinuousClock.now
    private var board: LeaseBoard
    private var shards: [Shard] = []
    private var positions: [String: String] = [:]
    private var readings: [String: Reading] = [:]
    private var nextShards = ContinuousClock.now
    private var nextLeases = ContinuousClock.now
    /// Where the next round begins, so that no shard starves.
    private var turn = 0
    /// Renews leases, however long what was read takes to be stored.
    private var renewal: Task<Void, Never>?

    public init(
        _ calls: KinesisCalls,
        stream: String,
        store: any LeaseStore,
        leaseDuration: Duration,
        logger: Logger
    ) {
        self.name = "kinesis:" + stream
        self.calls = calls
        self.store = store
        self.logger = logger
        self.board = LeaseBoard(worker: "\(getpid())-\(UInt64.random(in: .min ... .max))", duration: leaseDuration)
    }

    public func next(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch? {
        let end = ContinuousClock.now + .milliseconds(250)
        while true {
            try await self.refresh()
            let batch = try await self.round(limits)
            if !batch.isEmpty { return batch }
            guard ContinuousClock.now < end, !Task.isCancelled else { return batch }
            try? await Task.sleep(for: .milliseconds(25))
        }
    }

    /// Positions are stored with the rows.
    public func commit(_ batch: RecordBatch) async throws(StreamFailure) {}

    /// Lets the others have the shards at once.
    public func close() async {
        self.renewal?.cancel()
        await self.renewal?.value
        for reading in self.readings.values {
            var free = reading.lease
            free.owner = ""
            free.counter &+= 1
            _ = try? await self.store.replace(reading.lease, by: free, of: self.name)
        }
        self.readings = [:]
    }

    // MARK: Reading

    private func round(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch {
        var filling = Filling(limits: limits)
        let names = self.readings.keys.sorted()
        for offset in names.indices where !filling.isFull {
            let name = names[(self.turn + offset) % names.count]
            guard let reading = self.readings[name], reading.nextRead <= .now else { continue }
            do throws(StreamFailure) {
                try await self.read(name, reading, into: &filling)
            } catch {
                // What other shards gave is stored first: their iterators are past it. The failure comes again.
                if filling.batch.isEmpty { throw error }
                break
            }
        }
        self.turn &+= 1
        filling.batch.isMoreReady = self.readings.values.contains { $0.millisecondsBehind > 0 }
        return filling.batch
    }

    private func read(_ shard: String, _ held: Reading, into filling: inout Filling) async throws(StreamFailure) {
        var reading = held
        do throws(KinesisCalls.Fault) {
            let iterator: String
            if let known = reading.iterator {
                iterator = known
            } else {
                iterator = try await self.calls.iterator(shard, after: reading.last)
            }
            let room = filling.limits.records - filling.batch.records.count
            let page = try await self.calls.records(iterator, limit: min(max(room, 1), 10_000))
            reading.iterator = page.nextIterator
            reading.millisecondsBehind = page.millisecondsBehindLatest
            // What lies ready is read at once; the tip is looked at four times a second.
            reading.nextRead =
                .now + (page.records.isEmpty || page.millisecondsBehindLatest == 0 ? Self.readInterval : .zero)
            for record in page.records { self.take(record, of: shard, into: &filling) }
            reading.last = page.records.last?.sequenceNumber ?? reading.last
            let isAtTip = page.records.isEmpty && page.millisecondsBehindLatest == 0
            reading.emptyReads = isAtTip ? reading.emptyReads + 1 : 0
            self.update(shard, reading)
            self.noteProgress(shard, reading, page, &filling.batch)
        } catch {
            try self.note(error, of: shard, reading)
        }
    }

    private func take(_ record: KinesisRecord, of shard: String, into filling: inout Filling) {
        let arrived = Int64(max(0, min(record.arrival, 1e11)) * 1000)
        let origin = "\(shard)/\(record.sequenceNumber)"
        for part in KinesisAggregate.parts(of: record.data, origin: origin, arrived: arrived) { filling.add(part) }
    }

    private func noteProgress(
        _ shard: String,
        _ reading: Reading,
        _ page: KinesisRecords,
        _ batch: inout RecordBatch
    ) {
        let isClosed = self.shards.first { $0.id == shard }?.isOpen == false
        let isFinished = page.nextIterator == nil || isClosed && reading.emptyReads >= Self.emptyReadsAtEnd
        if isFinished {
            batch.checkpoints.append(Checkpoint(source: self.name, part: shard, position: KinesisCalls.shardEnd))
            self.positions[shard] = KinesisCalls.shardEnd
            self.readings[shard] = nil
            // What came of it may be read now, or rather when this is stored: in the next round.
            self.nextShards = .now
            self.nextLeases = .now
        } else if let last = page.records.last {
            batch.checkpoints.append(Checkpoint(source: self.name, part: shard, position: last.sequenceNumber))
        }
    }

    private func note(_ fault: KinesisCalls.Fault, of shard: String, _ reading: Reading) throws(StreamFailure) {
        var reading = reading
        switch fault {
        case .expired: reading.iterator = nil
        case .throttled: reading.nextRead = .now + Self.throttlePause
        case .noSuchPosition:
            // The stream's retention has passed over it: what is left is read from its beginning.
            self.logger.warning("a position is not in its shard any more", metadata: ["shard": "\(shard)"])
            reading.iterator = nil
            reading.last = nil
            reading.nextRead = .now + Self.readInterval
        case .other(let failure):
            reading.iterator = nil
            self.update(shard, reading)
            throw failure
        }
        self.update(shard, reading)
    }

    /// The lease may have been renewed, or lost, while something was awaited.
    private func update(_ shard: String, _ reading: Reading) {
        guard let present = self.readings[shard] else { return }
        var reading = reading
        reading.lease = present.lease
        self.readings[shard] = reading
    }

    // MARK: Shards and leases

    private func refresh() async throws(StreamFailure) {
        if self.nextShards <= .now {
            do throws(KinesisCalls.Fault) {
                self.shards = try await self.calls.shards()
            } catch {
                if case .other(let failure) = error { throw failure }
                throw StreamFailure("\(self.name): its shards can't be listed at the moment")
            }
            self.nextShards = .now + Self.shardInterval
        }
        guard self.nextLeases <= .now else { return }
        self.nextLeases = .now + self.board.duration / 3
        try await self.share()
        if self.renewal == nil { self.renewal = Task { await self.renew() } }
    }

    /// Only what is held is renewed here; what else there is to read is looked at when something is to be read.
    private func renew() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: self.board.duration / 4) } catch { return }
            for reading in self.readings.values {
                // What was read to its end meanwhile is not taken up again.
                if self.readings[reading.lease.part] != nil { _ = try? await self.claim(reading.lease) }
            }
        }
    }

    private func share() async throws(StreamFailure) {
        let stored: [String: String]
        do { stored = try await self.store.positions(of: self.name) } catch {
            throw StreamFailure("how far \(self.name) was read can't be found out: \(error)")
        }
        // What this worker has read to its end is on its way into the store.
        self.positions = stored.merging(self.positions.filter { $0.value == KinesisCalls.shardEnd }) { $1 }
        let parts = self.readable(stored)
        let leases = try await self.store.leases(of: self.name)
        // Somebody else may have taken over what this worker held.
        for lease in leases where lease.owner != self.board.worker { self.readings[lease.part] = nil }
        for step in self.board.steps(parts: parts, leases: leases, now: .now - self.start) {
            switch step {
            case .renew(let lease), .take(let lease): try await self.hold(lease, stored[lease.part])
            }
        }
    }

    /// Shards that are not read to their end, and whose parents are, as far as they still exist.
    private func readable(_ stored: [String: String]) -> [String] {
        let present = Set(self.shards.map(\.id))
        return self.shards.filter { shard in
            self.positions[shard.id] != KinesisCalls.shardEnd
                && [shard.parentID, shard.adjacentParentID].compactMap(\.self).allSatisfy {
                    !present.contains($0) || stored[$0] == KinesisCalls.shardEnd
                }
        }.map(\.id)
    }

    private func hold(_ lease: Lease, _ position: String?) async throws(StreamFailure) {
        guard let new = try await self.claim(lease), self.readings[lease.part] == nil else { return }
        self.readings[lease.part] = Reading(lease: new, iterator: nil, last: position, nextRead: .now)
    }

    /// - Returns: the lease as it is now this worker's; nil where it is not.
    private func claim(_ lease: Lease) async throws(StreamFailure) -> Lease? {
        let new = Lease(part: lease.part, owner: self.board.worker, counter: lease.counter &+ 1)
        guard try await self.store.replace(lease, by: new, of: self.name) else {
            // Changed meanwhile: by another worker, or by this one's own renewal.
            if self.readings[lease.part].map({ $0.lease.counter <= lease.counter }) ?? false {
                self.readings[lease.part] = nil
            }
            return nil
        }
        self.readings[lease.part]?.lease = new
        return new
    }
}
