public import NIOCore
public import RedisClient
import Synchronization
import TrackingModel

/// Programs as Redis hashes: one `HGETALL` for each read, pipelined with its neighbours on one connection.
///
/// The connection lives on a loop of its own, beside the one whose cache asks. What is asked for in one tick goes over
/// together, and what has been read comes back together, so that a hop is shared by all who wait.
///
/// `@unchecked Sendable`: `asked` is touched on the asking loop alone, `read` on the client's.
public final class RedisPrograms: @unchecked Sendable {
    private typealias Completion = @Sendable (ProgramReading) -> Void

    private let client: RedisClient
    private let keyPrefix: String
    private let asking: any EventLoop
    private let reading: any EventLoop
    private let ready = Atomic(false)
    private var asked: [(id: ProgramID, completion: Completion)] = []
    private var read: [(reading: ProgramReading, completion: Completion)] = []

    /// - Parameters:
    ///   - loop: the client's.
    ///   - asking: the cache's.
    ///   - keyPrefix: stands before the id in a key.
    public init(_ client: RedisClient, on loop: any EventLoop, for asking: any EventLoop, keyPrefix: String) {
        self.client = client
        self.reading = loop
        self.asking = asking
        self.keyPrefix = keyPrefix
    }

    /// Whether the connection is open and greeted.
    public var isReady: Bool { self.ready.load(ordering: .relaxed) }

    public func start() async {
        await self.client.observeState { self.ready.store($0, ordering: .relaxed) }
        await self.client.start()
    }

    public func stop() async { await self.client.stop() }

    public var source: ProgramSource {
        ProgramSource(isReachable: { self.isReady }, read: { self.read($0, $1) })
    }

    // MARK: On the asking loop

    private func read(_ id: ProgramID, _ completion: @escaping Completion) {
        self.asking.assertInEventLoop()
        self.asked.append((id, completion))
        // At the end of the tick.
        if self.asked.count == 1 { self.asking.execute { self.handOver() } }
    }

    private func handOver() {
        let asked = self.asked
        self.asked.removeAll()
        self.reading.execute {
            self.client.assumeIsolated { client in
                for (id, completion) in asked { self.send(id, completion, by: client) }
            }
        }
    }

    // MARK: On the client's

    private func send(_ id: ProgramID, _ completion: @escaping Completion, by client: isolated RedisClient) {
        client.send(.hashGetAll(prefix: self.keyPrefix, id: id.text)) { reply in
            self.read.append((ProgramReading(reply, of: id), completion))
            if self.read.count == 1 { self.reading.execute { self.bringBack() } }
        }
    }

    private func bringBack() {
        let read = self.read
        self.read.removeAll()
        self.asking.execute {
            for (reading, completion) in read { completion(reading) }
        }
    }
}
