import NIOCore
import NIOPosix
import Testing

@testable import EventJournal

/// What the writer was given, and by how many batches at a time.
private final class Taken: Sendable {
    private let sizes = Locked<[Int]>([])
    private let writer = Locked<BlockingThread?>(nil)

    var first: Int? { self.sizes.withLock { $0.first } }

    func start(_ queue: CommitQueue) {
        self.writer.withLock {
            $0 = BlockingThread {
                var batches: [Submission] = []
                _ = queue.take(into: &batches)
                let count = batches.count
                self.sizes.withLock { $0.append(count) }
            }
        }
    }

    func join() -> Int? {
        self.writer.withLock { $0?.join() }
        return self.first
    }
}

@Suite(.timeLimit(.minutes(1))) struct CommitQueueTests {
    private static let minute: UInt64 = 60_000_000_000

    /// Of two loops, of which the first was answered just now after a commit that took so long.
    private func afterCommit(
        of nanoseconds: UInt64,
        longestPatience: UInt64 = Self.minute,
        _ body: (CommitQueue, _ answered: Submission, _ other: Submission) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let queue = CommitQueue(longestPatience: longestPatience)
        let batches = group.makeIterator().map { loop in
            Submission(buffer: LaneBuffer(maxCapacity: 64 << 10, maxFrameBytes: 1 << 10), loop: loop) { _ in }
        }
        queue.committed([batches[0]], in: nanoseconds)
        try await body(queue, batches[0], batches[1])
        try await group.shutdownGracefully()
    }

    @Test("a batch that waits lets the loop that was answered just now come along: one sync for both")
    func together() async throws {
        try await self.afterCommit(of: Self.minute) { queue, answered, other in
            let taken = Taken()
            #expect(queue.post(other))
            taken.start(queue)
            try await Task.sleep(for: .milliseconds(50))
            #expect(taken.first == nil, "taken alone, although the other loop was answered just now")
            let posted = ContinuousClock.now
            #expect(queue.post(answered))
            #expect(taken.join() == 2)
            #expect(ContinuousClock.now - posted < .seconds(10))
        }
    }

    @Test(
        "a loop that was answered and has nothing more holds nobody up for longer than the last commit took, or the bound",
        arguments: [(1_000_000, minute), (minute, 1_000_000), (minute, 0)] as [(UInt64, UInt64)]
    )
    func patienceEnds(commit: UInt64, longest: UInt64) async throws {
        try await self.afterCommit(of: commit, longestPatience: longest) { queue, _, other in
            let taken = Taken()
            taken.start(queue)
            // The writer sleeps by now, and only this batch wakes it.
            try await Task.sleep(for: .milliseconds(50))
            let posted = ContinuousClock.now
            #expect(queue.post(other))
            #expect(taken.join() == 1)
            #expect(ContinuousClock.now - posted < .seconds(10))
        }
    }

    @Test("a batch that comes while others are expected is taken when patience ends")
    func patienceEndsForLater() async throws {
        try await self.afterCommit(of: 200_000_000) { queue, _, other in
            let taken = Taken()
            taken.start(queue)
            let posted = ContinuousClock.now
            #expect(queue.post(other))
            #expect(taken.join() == 1)
            #expect(ContinuousClock.now - posted < .seconds(10))
        }
    }

    @Test("a loop that is alone waits for nobody")
    func alone() async throws {
        try await self.afterCommit(of: Self.minute) { queue, answered, _ in
            let taken = Taken()
            taken.start(queue)
            #expect(queue.post(answered))
            #expect(taken.join() == 1)
        }
    }

    @Test("the end waits for nobody, takes what is there and nothing more")
    func end() async throws {
        try await self.afterCommit(of: Self.minute) { queue, answered, other in
            #expect(queue.post(other))
            let taken = Taken()
            taken.start(queue)
            queue.close()
            #expect(taken.join() == 1)
            #expect(!queue.post(answered))
            var batches: [Submission] = []
            #expect(!queue.take(into: &batches))
            #expect(batches.isEmpty)
        }
    }
}
