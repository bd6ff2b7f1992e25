import NIOCore
public import RedisClient
import TrackingModel

/// Leases and positions in two Redis hashes, for a stream whose records go to Redis themselves.
public struct RedisLeases: LeaseStore {
    /// If the lease still has the counter, the new one takes its place.
    private static let swap = """
        local held = redis.call('HGET', KEYS[1], ARGV[1])
        local counter = held and string.match(held, '^(%d+) ') or '0'
        if counter ~= ARGV[2] then return 0 end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
        return 1
        """

    private let client: RedisClient
    private let key: String

    /// - Parameter key: before the hashes' names.
    public init(_ client: RedisClient, key: String) {
        self.client = client
        self.key = key
    }

    public func positions(of source: String) async throws -> [String: String] {
        try await self.fields(of: self.hash("positions", source))
    }

    public func leases(of source: String) async throws(StreamFailure) -> [Lease] {
        try await self.fields(of: self.hash("leases", source)).compactMap { part, text in
            let words = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2, let counter = Int64(words[0]) else { return nil }
            return Lease(part: part, owner: String(words[1]), counter: counter)
        }
    }

    public func replace(_ old: Lease, by new: Lease, of source: String) async throws(StreamFailure) -> Bool {
        let words = [
            Self.swap, "1", self.hash("leases", source), old.part, "\(old.counter)", "\(new.counter) \(new.owner)",
        ]
        guard case .integer(let changed) = try await self.ask(RedisCommand("EVAL", words)) else {
            throw StreamFailure("Redis' answer about a lease can't be read.")
        }
        return changed == 1
    }

    public func keep(_ checkpoints: [Checkpoint]) async throws(StreamFailure) {
        for checkpoint in checkpoints {
            let hash = self.hash("positions", checkpoint.source)
            if let position = checkpoint.position {
                _ = try await self.ask(RedisCommand("HSET", hash, checkpoint.part, position))
            } else {
                _ = try await self.ask(RedisCommand("HDEL", hash, checkpoint.part))
            }
        }
    }

    private func hash(_ what: String, _ source: String) -> String { "\(self.key).\(what):\(source)" }

    private func fields(of key: String) async throws(StreamFailure) -> [String: String] {
        let reply = try await self.ask(RedisCommand("HGETALL", key))
        var fields: [String: String] = [:]
        let arePairs = reply.forEachPair { name, value in
            fields[String(copying: name)] = String(copying: value)
        }
        guard arePairs else { throw StreamFailure("Redis' answer about \(key) can't be read.") }
        return fields
    }

    private func ask(_ command: RedisCommand) async throws(StreamFailure) -> RESPValue {
        do throws(RedisError) {
            try await self.client.waitUntilReady(for: .seconds(1))
            let reply = try await self.client.send(command)
            if let text = reply.errorText { throw RedisError(.refused, "Redis refuses: \(text.prefix(200))") }
            return reply
        } catch {
            throw StreamFailure(error.description)
        }
    }
}
