import EventJournal
import NIOCore
import TrackingModel
import TrackingPipeline

/// From durable to sent: the answers that waited for a batch.
extension HTTPVerticle {
    /// The lane calls this once for each batch, in order.
    func settled(_ batch: BatchID, _ outcome: BatchOutcome) {
        guard self.holding.first?.batch == batch.number else { return }
        var connections = self.holding.removeFirst().connections
        let moment = self.clocks.read()
        self.heads.update(moment.wall)
        for connection in connections { self.release(connection, batch.number, outcome, now: moment.monotonic) }
        connections.removeAll(keepingCapacity: true)
        self.spareHolding = connections
    }

    private func release(_ connection: HTTPConnection, _ batch: UInt64, _ outcome: BatchOutcome, now: UInt64) {
        var count = 0
        while count < connection.held.count, connection.held[count].batch <= batch { count += 1 }
        switch outcome {
        case .durable:
            self.books.enter(.accepted, route: .event, count: UInt64(count))
            for index in 0..<count { self.books.enter(nanoseconds: now &- connection.held[index].arrived) }
        case .failed(let reason):
            let refusal: TrackingModel.Refusal = reason == .full ? .journalFull : .unavailable
            self.books.enter(.refused(refusal), route: .event, count: UInt64(count))
            self.replace(count, on: connection, by: refusal)
        }
        self.send(connection, releasing: count)
        if connection.phase == .open, connection.hasUnread {
            self.proceed(connection)
        } else {
            self.considerEnd(connection)
        }
    }

    private func send(_ connection: HTTPConnection, releasing count: Int) {
        guard count < connection.held.count else {
            connection.held.removeAll(keepingCapacity: true)
            return connection.flush()
        }
        let end = connection.held[count].start
        connection.held.removeFirst(count)
        connection.flush(upTo: end)
    }

    /// Writes refusals in the place of the first answers, whose events could not be recorded.
    private func replace(_ count: Int, on connection: HTTPConnection, by refusal: TrackingModel.Refusal) {
        let old = connection.out
        var new = ByteBuffer()
        var copied = old.readerIndex
        func copy(upTo end: Int) {
            if let bytes = old.getSlice(at: copied, length: end - copied) { new.writeImmutableBuffer(bytes) }
            copied = end
        }
        for index in connection.held.indices {
            copy(upTo: connection.held[index].start)
            let start = new.writerIndex
            if index < count {
                self.heads.put(.refused(refusal), connection.held[index].connection, to: &new)
                copied = connection.held[index].end
            } else {
                copy(upTo: connection.held[index].end)
            }
            connection.held[index].start = start
            connection.held[index].end = new.writerIndex
        }
        copy(upTo: old.writerIndex)
        connection.out = new
    }
}
