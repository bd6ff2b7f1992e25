import AWSTransport
import Logging
import NIOConcurrencyHelpers
import NIOCore

/// Which shard of a stream takes a partition key, as far as it is known; renewed when a shard answers that is not.
///
/// It only says which records wait together while a shard throttles. While nothing is known all of them do.
final class KinesisShards: Sendable {
    private struct State {
        var map = ShardMap([])
        /// Lanes by shard; never taken away, so that a lane keeps its number.
        var lanes: [String: Int] = [:]
        var isRefreshing = false
        var refreshedAt: UInt64 = 0
    }

    /// Between two looks, in milliseconds.
    private static let pause: UInt64 = 10_000
    /// Of which lanes are kept; AWS' default quota of a stream on demand is far below.
    private static let maximumLanes = 20_000

    private let stream: String
    private let client: KinesisClient
    private let logger: Logger
    private let state = NIOLockedValueBox(State())

    init(_ stream: String, _ client: KinesisClient, _ logger: Logger) {
        self.stream = stream
        self.client = client
        self.logger = logger
    }

    func lane(of key: ByteBuffer) -> Int {
        self.state.withLockedValue { state in
            guard state.map.count > 1, let shard = key.withUnsafeReadableBytes({ state.map.shardID(of: $0) }) else {
                return 0
            }
            return state.lanes[shard] ?? 0
        }
    }

    /// A record went into this shard.
    func saw(_ shard: String) {
        let isKnown = self.state.withLockedValue { $0.lanes[shard] != nil }
        if !isKnown { self.refresh() }
    }

    /// Asks for the shards, beside the calls that run; at most every ten seconds.
    func refresh() {
        let now = SinkClock.milliseconds()
        let begins = self.state.withLockedValue { state in
            guard !state.isRefreshing, state.refreshedAt == 0 || now >= state.refreshedAt &+ Self.pause else {
                return false
            }
            state.isRefreshing = true
            state.refreshedAt = now
            return true
        }
        if begins { Task { await self.ask() } }
    }

    private func ask() async {
        do {
            let shards = try await self.client.listShards(self.stream)
            self.state.withLockedValue { state in
                if state.lanes.count > Self.maximumLanes { state.lanes = [:] }
                state.map = ShardMap(shards)
                for shard in shards where state.lanes[shard.id] == nil { state.lanes[shard.id] = state.lanes.count + 1 }
            }
        } catch {
            self.logger.debug("shards not known: all are throttled together", metadata: ["cause": "\(error)"])
        }
        self.state.withLockedValue { $0.isRefreshing = false }
    }
}
