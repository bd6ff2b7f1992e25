public import Logging
public import NIOCore
public import RedisClient
import TrackingModel

/// Dead letters as entries of a Redis stream; `KEY:origins` remembers the latest hundred thousand of them, so that
/// nothing is kept twice.
public struct DeadLetterStream: DeadLetterPlace {
    private static let remembered = 100_000

    /// Whether it is news, its mark and the entry are one step.
    private static let script = """
        if redis.call('ZADD', KEYS[2], 'NX', ARGV[2], ARGV[1]) == 0 then return 0 end
        redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - \(remembered))
        redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
        return 1
        """

    private let key: String
    private let client: RedisClient

    public init(key: String, redis: RedisConfiguration, on loop: any EventLoop, logger: Logger) {
        self.key = key
        self.client = RedisClient(redis, on: loop, logger: logger)
    }

    public func start() async { await self.client.start() }

    public func stop() async { await self.client.stop() }

    public func keep(_ letters: [DeadLetter]) async throws(StreamFailure) {
        for letter in letters {
            do throws(RedisError) {
                try await self.client.waitUntilReady(for: .seconds(1))
                let reply = try await self.client.send(self.command(letter))
                if let text = reply.errorText { throw RedisError(.refused, "Redis refuses: \(text.prefix(200))") }
            } catch {
                throw StreamFailure("dead letters in redis:\(self.key): \(error.description)")
            }
        }
    }

    private func command(_ letter: DeadLetter) -> RedisCommand {
        var arguments = [Self.script, "2", self.key, self.key + ":origins", letter.identity]
        arguments.append("\(letter.time.milliseconds)")
        for (name, value) in letter.fields { arguments += [name, value] }
        return RedisCommand("EVAL", arguments)
    }
}
