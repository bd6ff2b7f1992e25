import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import EventJournal

/// What the writer was given, and by how many batches at a time.
private final class Taken: Sendable {
    private let sizes = Locked<[Int]>([])
    private let writer = Locked<BlockingThread?>(nil)
    /// The writer's directory under /proc.
    private let thread = Locked<String?>(nil)

    var first: Int? { self.sizes.withLock { $0.first } }

    func start(_ queue: CommitQueue) {
        let writer = BlockingThread {
            self.thread.withLock { $0 = Self.ownThread }
            var batches: [Submission] = []
            _ = queue.take(into: &batches)
            let count = batches.count
            self.sizes.withLock { $0.append(count) }
        }
        self.writer.withLock { $0 = writer }
    }

    /// Returns when the writer sleeps, or has taken something instead: then false.
    func sleeps() async -> Bool {
        while self.first == nil {
            if self.thread.withLock({ $0 }).map(Self.isAsleep) == true { return self.first == nil }
            await Task.yield()
        }
        return false
    }

    /// The state of a thread stands behind its name in parentheses (proc_pid_stat(5)).
    private static func isAsleep(_ thread: String) -> Bool {
        guard let file = fopen("/proc/\(thread)/stat", "r") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        guard fgets(&line, CInt(line.count), file) != nil else { return false }
        let name = line.lastIndex(of: CChar(UInt8(ascii: ")")))
        return name.map { line[$0 + 2] } == CChar(UInt8(ascii: "S"))
    }

    private static var ownThread: String? {
        var path = [CChar](repeating: 0, count: 64)
        let length = readlink("/proc/thread-self", &path, path.count)
        return length > 0 ? String(decoding: path[..<length].map(UInt8.init), as: UTF8.self) : nil
    }

    /// How many batches it took at once; nil if it took none within ten seconds.
    func count() async -> Int? {
        let end = ContinuousClock.now + .seconds(10)
        while self.first == nil, ContinuousClock.now < end { await Task.yield() }
        if self.first != nil { self.writer.withLock { $0?.join() } }
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
            #expect(await taken.sleeps(), "taken alone, although the other loop was answered just now")
            #expect(queue.post(answered))
            #expect(await taken.count() == 2)
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
            // Only this batch wakes the writer.
            #expect(await taken.sleeps())
            #expect(queue.post(other))
            #expect(await taken.count() == 1)
        }
    }

    @Test("a batch that comes while others are expected is taken when patience ends")
    func patienceEndsForLater() async throws {
        try await self.afterCommit(of: 200_000_000) { queue, _, other in
            let taken = Taken()
            taken.start(queue)
            #expect(queue.post(other))
            #expect(await taken.count() == 1)
        }
    }

    @Test("a loop that is alone waits for nobody")
    func alone() async throws {
        try await self.afterCommit(of: Self.minute) { queue, answered, _ in
            let taken = Taken()
            taken.start(queue)
            #expect(queue.post(answered))
            #expect(await taken.count() == 1)
        }
    }

    @Test("the end waits for nobody, takes what is there and nothing more")
    func end() async throws {
        try await self.afterCommit(of: Self.minute) { queue, answered, other in
            #expect(queue.post(other))
            let taken = Taken()
            taken.start(queue)
            queue.close()
            #expect(await taken.count() == 1)
            #expect(!queue.post(answered))
            var batches: [Submission] = []
            #expect(!queue.take(into: &batches))
            #expect(batches.isEmpty)
        }
    }
}
