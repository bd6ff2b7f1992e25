import Glibc
public import Logging
public import NIOCore
public import RedisClient

/// A Redis stream, read as a member of the consumer group `adtrack` (XREADGROUP, Redis 6.2 or newer).
///
/// What a member was given and has not acknowledged is taken over by others when it has been idle for long enough
/// (XAUTOCLAIM), so a killed consumer's share goes on; what got lost between Redis and this member it asks for again.
public actor RedisStreamSource: RecordSource {
    public struct Configuration: Sendable {
        public var key: String
        /// The field of an entry that is the record.
        public var field: String
        /// After so long another member's unacknowledged share is taken over.
        public var claimIdle: Duration

        public init(key: String, field: String, claimIdle: Duration = .seconds(10)) {
            self.key = key
            self.field = field
            self.claimIdle = claimIdle
        }
    }

    static let group = "adtrack"
    /// How long Redis may wait for new entries before it answers that there are none, in milliseconds.
    private static let blockMilliseconds = 200
    /// An entry of XREADGROUP may be large; the client's bound on a reply holds this many.
    private static let maximumEntries = 5000
    /// A member that has nothing and was silent this long is forgotten, in milliseconds: a day.
    private static let forgottenAfter = 86_400_000

    public nonisolated let name: String
    private let configuration: Configuration
    private let client: RedisClient
    private let consumer: String
    private var isPrepared = false
    /// What this member was given may have been lost on the way.
    private var mustReadAgain = false
    private var claimCursor = "0-0"
    private var nextClaim = ContinuousClock.now

    /// - Parameter redis: its deadline of a command must be longer than a quarter of a second.
    public init(_ configuration: Configuration, redis: RedisConfiguration, on loop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.name = "redis:" + configuration.key
        var redis = redis
        redis.maximumReplyBytes = 256 << 20
        redis.maximumReplyElements = 1 << 20
        self.client = RedisClient(redis, on: loop, logger: logger)
        self.consumer = Self.uniqueName()
    }

    public func start() async { await self.client.start() }

    public func next(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch? {
        do {
            try await self.prepare()
            if self.mustReadAgain {
                let batch = try await self.read(limits, from: "0")
                self.mustReadAgain = !batch.isEmpty
                if !batch.isEmpty { return batch }
            }
            if let claimed = try await self.claim(limits) { return claimed }
            return try await self.read(limits, from: ">")
        } catch {
            self.mustReadAgain = true
            throw error
        }
    }

    public func commit(_ batch: RecordBatch) async throws(StreamFailure) {
        guard !batch.receipts.isEmpty else { return }
        _ = try await self.ask(RedisCommand("XACK", [self.configuration.key, Self.group] + batch.receipts))
    }

    public func close() async {
        // Only a member that holds nothing may go: with it would go what it holds.
        let script = """
            for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
              local f = {} for i = 1, #c, 2 do f[c[i]] = c[i + 1] end
              if f.name == ARGV[2] and f.pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], f.name) end
            end
            """
        _ = try? await self.ask(RedisCommand("EVAL", script, "1", self.configuration.key, Self.group, self.consumer))
        await self.client.stop()
    }

    // MARK: Steps

    /// The group is made at the stream's beginning, the stream where there is none.
    private func prepare() async throws(StreamFailure) {
        guard !self.isPrepared else { return }
        do throws(RedisError) {
            try await self.client.waitUntilReady(for: .seconds(1))
        } catch {
            throw StreamFailure(error.description)
        }
        let command = RedisCommand("XGROUP", "CREATE", self.configuration.key, Self.group, "0", "MKSTREAM")
        _ = try await self.ask(command, ignoring: "BUSYGROUP")
        try await self.forgetOldMembers()
        self.isPrepared = true
    }

    private func forgetOldMembers() async throws(StreamFailure) {
        let script = """
            for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
              local f = {} for i = 1, #c, 2 do f[c[i]] = c[i + 1] end
              if f.pending == 0 and f.idle > tonumber(ARGV[2]) then
                redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], f.name)
              end
            end
            """
        let idle = "\(Self.forgottenAfter)"
        _ = try await self.ask(RedisCommand("EVAL", script, "1", self.configuration.key, Self.group, idle))
    }

    /// What others have left, a page at a time; looked for often enough that nothing waits twice as long as it must.
    private func claim(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch? {
        let now = ContinuousClock.now
        guard now >= self.nextClaim else { return nil }
        let idle = Int64(self.configuration.claimIdle / .milliseconds(1))
        let reply = try await self.ask(
            RedisCommand(
                "XAUTOCLAIM",
                self.configuration.key,
                Self.group,
                self.consumer,
                "\(idle)",
                self.claimCursor,
                "COUNT",
                "\(min(limits.records, Self.maximumEntries))"
            )
        )
        guard let parts = reply.elements, parts.count >= 2, let cursor = parts[0].text else { throw Self.unreadable }
        self.claimCursor = cursor
        if cursor == "0-0" {
            self.nextClaim = now + min(max(self.configuration.claimIdle / 4, .milliseconds(50)), .seconds(5))
        }
        let batch = try self.batch(parts[1], isFull: cursor != "0-0")
        return batch.isEmpty ? nil : batch
    }

    private func read(_ limits: BatchLimit, from id: String) async throws(StreamFailure) -> RecordBatch {
        let count = min(limits.records, Self.maximumEntries)
        let reply = try await self.ask(
            RedisCommand(
                "XREADGROUP",
                "GROUP",
                Self.group,
                self.consumer,
                "COUNT",
                "\(count)",
                "BLOCK",
                "\(Self.blockMilliseconds)",
                "STREAMS",
                self.configuration.key,
                id
            )
        )
        if case .null = reply { return RecordBatch() }
        guard let stream = reply.elements?.first?.elements, stream.count == 2 else { throw Self.unreadable }
        let batch = try self.batch(stream[1], isFull: false)
        var whole = batch
        whole.isMoreReady = batch.receipts.count == count
        return whole
    }

    private func batch(_ entries: RESPValue, isFull: Bool) throws(StreamFailure) -> RecordBatch {
        guard let entries = entries.elements else { throw Self.unreadable }
        var batch = RecordBatch(isMoreReady: isFull)
        for entry in entries {
            // An entry that was deleted while somebody held it.
            if case .null = entry { continue }
            guard let parts = entry.elements, parts.count == 2, let id = parts[0].text else { throw Self.unreadable }
            batch.receipts.append(id)
            // Deleted: it is only acknowledged.
            if case .null = parts[1] { continue }
            batch.records.append(self.record(id, parts[1]))
        }
        return batch
    }

    private func record(_ id: String, _ fields: RESPValue) -> StreamRecord {
        let arrived = id.split(separator: "-").first.flatMap { Int64($0) }
        var bytes: [UInt8]?
        var everything: [UInt8] = []
        _ = fields.forEachPair { name, value in
            let (nameBytes, valueBytes) = (name.withUnsafeBytes(Array.init), value.withUnsafeBytes(Array.init))
            if bytes == nil, nameBytes.elementsEqual(self.configuration.field.utf8) { bytes = valueBytes }
            everything += nameBytes + [UInt8(ascii: "=")] + valueBytes + [UInt8(ascii: "\n")]
        }
        if let bytes { return StreamRecord(origin: id, bytes: bytes, arrived: arrived) }
        let damage = Damage(.malformed, "The entry has no field \(self.configuration.field).")
        return StreamRecord(origin: id, bytes: everything, arrived: arrived, damage: damage)
    }

    private func ask(_ command: RedisCommand, ignoring: String? = nil) async throws(StreamFailure) -> RESPValue {
        let reply: RESPValue
        do throws(RedisError) {
            reply = try await self.client.send(command)
        } catch {
            throw StreamFailure(error.description)
        }
        guard let text = reply.errorText else { return reply }
        if let ignoring, text.hasPrefix(ignoring) { return reply }
        // The stream or its group was deleted: they are made again.
        if text.hasPrefix("NOGROUP") { self.isPrepared = false }
        throw StreamFailure("Redis refuses: \(text.prefix(200))")
    }

    private static var unreadable: StreamFailure { StreamFailure("Redis' answer about the stream can't be read.") }

    /// Another one in every process, so that nobody takes over what is still being worked on by name.
    private static func uniqueName() -> String {
        var host = [CChar](repeating: 0, count: 256)
        _ = gethostname(&host, host.count - 1)
        let text = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "\(text)-\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 36))"
    }
}
