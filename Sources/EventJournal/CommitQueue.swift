import NIOCore

/// A batch on its way to the writer, and the way back.
struct Submission: Sendable {
    var buffer: LaneBuffer
    var loop: any EventLoop
    var completed: @Sendable (BatchOutcome) -> Void
}

/// The event loops' batches on their way to the writer, which commits all there are with one sync.
///
/// A loop whose batch was committed just now soon has the next one, as whoever was answered asks again. A batch that waits
/// already lets it come along, for as long as the last commit took and no longer. Without that the loops would take turns,
/// each with a sync of its own, and the fewer requests share a sync, the more each one costs.
final class CommitQueue: Sendable {
    private struct State {
        var batches: [Submission] = []
        /// The loops of the last commit that have not handed over their next batch yet.
        var expected: [ObjectIdentifier] = []
        /// Until when others wait for them, in monotonic nanoseconds.
        var patience: UInt64 = 0
        var isClosed = false
    }

    private let state = Monitor(State())
    private let longestPatience: UInt64

    /// - Parameter longestPatience: in nanoseconds: nobody waits longer for another loop's batch, however slow the disk is;
    ///   0 where there is no sync to share.
    init(longestPatience: UInt64) {
        self.longestPatience = longestPatience
    }

    /// - Returns: false when nobody will take it any more.
    func post(_ batch: Submission) -> Bool {
        let (isOpen, rings) = self.state.withLock { state in
            guard !state.isClosed else { return (false, false) }
            state.batches.append(batch)
            let loop = ObjectIdentifier(batch.loop)
            state.expected.removeAll { $0 == loop }
            // The first, so that the writer looks at the clock, and the last.
            return (true, state.expected.isEmpty || state.batches.count == 1)
        }
        if rings { self.state.ring() }
        return isOpen
    }

    func close() {
        self.state.withLock { $0.isClosed = true }
        self.state.ring()
    }

    /// The loops of these batches may have the next ones soon; to be said before they are told what became of these.
    ///
    /// - Parameter nanoseconds: how long the commit took.
    func committed(_ batches: [Submission], in nanoseconds: UInt64) {
        guard self.longestPatience > 0 else { return }
        let patience = JournalClock.monotonicNanoseconds() &+ min(nanoseconds, self.longestPatience)
        self.state.withLock { state in
            state.patience = patience
            state.expected.removeAll(keepingCapacity: true)
            for batch in batches { state.expected.append(ObjectIdentifier(batch.loop)) }
        }
    }

    /// Waits for batches and gives all there are.
    ///
    /// - Returns: false when closed and empty.
    func take(into batches: inout [Submission]) -> Bool {
        batches.removeAll(keepingCapacity: true)
        return self.state.wait { state in
            if !state.isClosed {
                guard !state.batches.isEmpty else { return .sleep(until: nil) }
                let isComplete = state.expected.isEmpty || JournalClock.monotonicNanoseconds() >= state.patience
                guard isComplete else { return .sleep(until: state.patience) }
            }
            swap(&batches, &state.batches)
            return .done(!batches.isEmpty || !state.isClosed)
        }
    }
}
