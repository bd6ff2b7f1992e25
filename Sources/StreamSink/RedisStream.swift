public import Logging
public import NIOCore
public import RedisClient

/// A Redis stream: a pipelined `XADD key [MAXLEN ~ n] * id <message id> event <protobuf bytes>` for each record
/// (redis.io/commands/xadd).
///
/// It has a connection of its own, which it makes again whenever it is lost. What Redis answers decides:
///
/// * an entry id: delivered; no answer before the cut or the deadline: not known, so sent again;
/// * `OOM` (maxmemory is reached, nothing may be evicted): throttled;
/// * `READONLY`, `LOADING`, `MASTERDOWN`, `CLUSTERDOWN`, `TRYAGAIN`, `BUSY`, `MISCONF`, `NOREPLICAS`: Redis can't take
///   anything at present; after `READONLY` and `MASTERDOWN`, which a failover leaves behind, it connects anew, so that a name
///   that leads elsewhere by now is looked up again;
/// * any other error (`WRONGTYPE`, `NOPERM`, `NOAUTH`, an unknown command): only a person can mend it.
public struct RedisStream: RecordStream {
    /// A record and its id must leave room in what may wait for one connection, four calls at a time.
    public let limits = PutLimits(records: 4_000, bytes: 5 << 20, recordBytes: 1 << 20)

    /// Of each `XADD`, without the record's own arguments.
    private let beginning: RedisCommand
    private let client: RedisClient

    /// - Parameters:
    ///   - key: of the stream.
    ///   - maxLength: about how many entries Redis keeps; nil keeps all.
    ///   - loop: the delivery's.
    public init(
        key: String,
        maxLength: Int?,
        at redis: RedisConfiguration,
        on loop: any EventLoop,
        logger: Logger
    ) {
        self.beginning = Self.beginning(key, maxLength)
        self.client = RedisClient(Self.forDelivery(redis), on: loop, logger: logger)
    }

    /// Deadlines of a sink, which nobody waits for: patient, and at most one attempt a second to connect to a dead server.
    static func forDelivery(_ configuration: RedisConfiguration) -> RedisConfiguration {
        var configuration = configuration
        configuration.commandTimeout = .seconds(5)
        configuration.connectTimeout = .seconds(2)
        configuration.backOff = .milliseconds(250)...TimeAmount.milliseconds(2_000)
        configuration.maximumPendingCommands = 20_000
        configuration.maximumPendingBytes = 48 << 20
        configuration.clientName = "adtrack-sink"
        return configuration
    }

    public func start() async { await self.client.start() }

    public func stop() async { await self.client.stop() }

    nonisolated(nonsending) public func put(_ batch: RecordBatch) async -> PutOutcome {
        guard await self.client.isReady else { return .unavailable(await self.whyNotConnected) }
        let replies = await self.client.send(self.pipeline(batch))
        let answers = replies.map(RedisAnswer.init)
        if answers.contains(where: { $0.asksForNewConnection }) { await self.reconnect() }
        return RedisAnswer.outcome(of: answers)
    }

    private var whyNotConnected: Unavailability {
        get async {
            guard let failure = await self.client.lastFailure else { return Unavailability("Redis is not connected") }
            let isFault = failure.code == .refused && !failure.description.contains("LOADING")
            return Unavailability(failure.description, isConfigurationFault: isFault)
        }
    }

    nonisolated(nonsending) private func reconnect() async {
        await self.client.stop()
        await self.client.start()
    }

    private func pipeline(_ batch: RecordBatch) -> RedisPipeline {
        let each = self.beginning.byteCount + 64
        var pipeline = RedisPipeline(
            commands: batch.records.count,
            bytes: batch.records.reduce(0) { $0 + $1.cost + each }
        )
        for record in batch.records {
            pipeline.begin(self.beginning)
            pipeline.append(record.key)
            pipeline.append("event")
            pipeline.append(record.bytes)
        }
        return pipeline
    }

    private static func beginning(_ key: String, _ maxLength: Int?) -> RedisCommand {
        var command = RedisCommand("XADD", argumentCount: maxLength == nil ? 6 : 9)
        command.append(key)
        if let maxLength {
            command.append("MAXLEN")
            command.append("~")
            command.append(maxLength)
        }
        command.append("*")
        command.append("id")
        return command
    }
}

/// What Redis said to one `XADD`.
enum RedisAnswer: Sendable, Equatable {
    case added
    case noMemory
    /// It passes: the error's first word, or why there is no answer.
    case notNow(String)
    /// It doesn't: the error's first word.
    case never(String)

    init(_ reply: Result<RESPValue, RedisError>) {
        switch reply {
        case .success(.bulk), .success(.status): self = .added
        case .success(.error(let text)): self = Self.error(text)
        case .success: self = .never("an answer that is no entry id")
        case .failure(let failure): self = .notNow(failure.description)
        }
    }

    private static func error(_ text: String) -> RedisAnswer {
        // Only the first word is repeated: the rest is the server's text and may name users.
        let word = String(text.prefix { $0 != " " }.prefix(32))
        switch word {
        case "OOM": return .noMemory
        case "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS":
            return .notNow(word)
        default: return .never(word)
        }
    }

    var asksForNewConnection: Bool { self == .notNow("READONLY") || self == .notNow("MASTERDOWN") }

    /// Some were added, or there is no memory: an answer for each. Else Redis takes nothing.
    static func outcome(of answers: [RedisAnswer]) -> PutOutcome {
        if !answers.contains(.added), let first = answers.first(where: { $0 != .noMemory }) {
            switch first {
            case .never(let word):
                return .unavailable(Unavailability("Redis answers \(word)", isConfigurationFault: true))
            case .notNow(let why): return .unavailable(Unavailability("Redis: \(why)"))
            case .added, .noMemory: break
            }
        }
        return .answered(
            answers.map {
                switch $0 {
                case .added: .delivered
                case .noMemory: .throttled
                case .notNow(let why): .failed(code: why)
                case .never(let word): .failed(code: word)
                }
            }
        )
    }
}
