import ArgumentParser
import EventJournal
import Foundation
import HTTPIngress
import Logging
import NIOCore
import ProgramCache
import RedisClient
import StreamSink
import Testing

@testable import adtrack

/// A configuration file for the time of the body.
func withFile<R>(_ name: String, _ text: String, _ body: (String) async throws -> R) async throws -> R {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("adtrack-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let file = directory.appendingPathComponent(name)
    try Data(text.utf8).write(to: file)
    return try await body(file.path)
}

/// One setting: what is written, and where it arrives.
struct SettingRow: Sendable, CustomTestStringConvertible {
    let setting: Setting
    let value: String
    let isRead: @Sendable (ServeConfiguration) -> Bool

    init(_ setting: Setting, _ value: String, _ isRead: @escaping @Sendable (ServeConfiguration) -> Bool) {
        self.setting = setting
        self.value = value
        self.isRead = isRead
    }

    var testDescription: String { "--\(self.setting.flag) \(self.value)" }

    /// The file key as nested objects.
    var json: String {
        let parts = self.setting.key.split(separator: ".").reversed()
        let value = self.setting.flag == Setting.sink.flag ? "[\"\(self.value)\"]" : "\"\(self.value)\""
        return parts.reduce(value) { "{\"\($1)\": \($0)}" }
    }

    /// The same as people write YAML; numbers are not quoted there.
    var yaml: String {
        let parts = self.setting.key.split(separator: ".")
        var text = ""
        for (depth, part) in parts.enumerated() { text += String(repeating: "  ", count: depth) + "\(part):\n" }
        text.removeLast()
        return text + (self.setting.flag == Setting.sink.flag ? "\n  - \(self.value)\n" : " \(self.value)\n")
    }
}

private func isRedis(
    _ configuration: ServeConfiguration,
    _ check: (RedisConfiguration, String, String) -> Bool
) -> Bool {
    guard case .redis(let redis, let prefix, let channel) = configuration.coreData else { return false }
    return check(redis, prefix, channel)
}

@Suite("Settings")
struct SettingsTests {
    static let rows: [SettingRow] = [
        SettingRow(.host, "127.0.0.9") { $0.host == "127.0.0.9" },
        SettingRow(.port, "8181") { $0.port == 8181 },
        SettingRow(.maxConnections, "77") { $0.maxConnections == 77 },
        SettingRow(.targetMaxBytes, "4KiB") { $0.ingress.head.targetBytes == 4_096 },
        SettingRow(.headMaxBytes, "32KiB") { $0.ingress.head.headBytes == 32_768 },
        SettingRow(.headMaxFields, "33") { $0.ingress.head.fields == 33 },
        SettingRow(.headTimeout, "1s") { $0.ingress.headTimeout == 1 },
        SettingRow(.writeTimeout, "250ms") { $0.ingress.writeTimeout == 0.25 },
        SettingRow(.idleTimeout, "10m") { $0.ingress.idleTimeout == 600 },
        SettingRow(.clientAddress, "none") { $0.ingress.clientAddress == .none },
        SettingRow(.managementHost, "::1") { $0.managementHost == "::1" },
        SettingRow(.managementPort, "0") { $0.managementPort == 0 },
        SettingRow(.redis, "redis://10.0.0.1:7000") { isRedis($0) { redis, _, _ in redis.host == "10.0.0.1" } },
        SettingRow(.programs, "/tmp/programs.json") {
            if case .file("/tmp/programs.json") = $0.coreData { true } else { false }
        },
        SettingRow(.cacheCapacity, "5") { $0.cache.capacity == 5 },
        SettingRow(.cacheTTL, "3s") { $0.cache.ttl == 3_000_000_000 },
        SettingRow(.negativeTTL, "0") { $0.cache.negativeTTL == 0 },
        SettingRow(.staleMax, "1h") { $0.cache.staleMax == 3_600_000_000_000 },
        SettingRow(.journal, "/tmp/j") { $0.journal.directory == "/tmp/j" },
        SettingRow(.journalMaxBytes, "5MiB") { $0.journal.maxBytes == 5 << 20 },
        SettingRow(.journalMinFree, "1GiB") { $0.journal.minFreeBytes == 1 << 30 },
        SettingRow(.journalFull, "drop_oldest") { $0.journal.whenFull == .dropOldest },
        SettingRow(.durability, "memory") { $0.journal.durability == .memory },
        SettingRow(.sink, "file:/tmp/e") { $0.sinks.addresses == [.file(directory: "/tmp/e")] },
        SettingRow(.batchRecords, "9") { $0.sinks.batch.records == 9 },
        SettingRow(.batchBytes, "64KiB") { $0.sinks.batch.bytes == 65_536 },
        SettingRow(.batchAge, "1s") { $0.sinks.batch.age == 1000 },
        SettingRow(.eventLoops, "3") { $0.eventLoops == 3 },
        SettingRow(.drainDelay, "5s") { $0.drainDelay == .seconds(5) },
        SettingRow(.logLevel, "debug") { $0.logLevel == .debug },
    ]

    /// These mean something only where there is a Redis.
    static let redisRows: [SettingRow] = [
        SettingRow(.redisKeyPrefix, "p-") { isRedis($0) { _, prefix, _ in prefix == "p-" } },
        SettingRow(.redisTimeout, "70ms") { isRedis($0) { redis, _, _ in redis.commandTimeout == .milliseconds(70) } },
        SettingRow(.channel, "news") { isRedis($0) { _, _, channel in channel == "news" } },
    ]

    private func read(
        flags: [String] = [],
        environment: [String: String] = [:],
        file: String? = nil
    ) async throws -> ServeConfiguration {
        let options = try ServeOptions.parse(flags)
        let settings = try await Settings(flags: options.given, environment: environment, file: file)
        return try ServeConfiguration(settings, cores: 2)
    }

    private func holds(
        _ row: SettingRow,
        flags: [String] = [],
        environment: [String: String] = [:],
        file: String? = nil
    ) async throws -> Bool {
        row.isRead(try await self.read(flags: flags, environment: environment, file: file))
    }

    private func prefix(
        flags: [String],
        environment: [String: String] = [:],
        file: String? = nil
    ) async throws -> String? {
        let configuration = try await self.read(flags: flags, environment: environment, file: file)
        guard case .redis(_, let prefix, _) = configuration.coreData else { return nil }
        return prefix
    }

    private func sentence(_ flags: [String], _ environment: [String: String] = [:], file: String? = nil) async -> String
    {
        do {
            _ = try await self.read(flags: flags, environment: environment, file: file)
            return "accepted"
        } catch {
            return ServeOptions.message(for: error)
        }
    }

    @Test("without a word the defaults are the contract's")
    func defaults() async throws {
        let settings = try await self.read()
        #expect(settings.host == "0.0.0.0" && settings.port == 8080 && settings.maxConnections == 10_000)
        #expect(settings.managementHost == "127.0.0.1" && settings.managementPort == 9090)
        if case .sample = settings.coreData {} else { Issue.record("not the sample") }
        #expect(settings.cache.capacity == 100_000 && settings.cache.ttl == 600_000_000_000)
        #expect(settings.cache.negativeTTL == 2_000_000_000 && settings.cache.staleMax == 86_400_000_000_000)
        #expect(settings.journal.directory == "./adtrack-data/journal" && settings.journal.maxBytes == 1 << 30)
        #expect(settings.journal.minFreeBytes == 0 && settings.journal.whenFull == .reject)
        #expect(settings.journal.durability == .fsync)
        #expect(settings.sinks.addresses == [.file(directory: "./adtrack-data/events")])
        #expect(
            settings.sinks.batch == BatchLimits()
        )
        #expect(settings.eventLoops == 2 && settings.drainDelay == .zero)
        #expect(settings.ingress.head.targetBytes == 8_192 && settings.ingress.head.headBytes == 16_384)
        #expect(settings.ingress.head.fields == 64 && settings.ingress.headTimeout == 5)
        #expect(settings.ingress.writeTimeout == 10 && settings.ingress.idleTimeout == 30)
        let redis = try await self.read(flags: ["--redis", "redis://127.0.0.1:6379"])
        #expect(
            isRedis(redis) { redis, prefix, channel in
                prefix == "program:" && channel == "adtrack.core-data" && redis.commandTimeout == .milliseconds(50)
            }
        )
    }

    @Test("each setting is a flag, a variable and a key of a file", arguments: rows)
    func names(row: SettingRow) async throws {
        #expect(try await self.holds(row, flags: ["--" + row.setting.flag, row.value]))
        #expect(try await self.holds(row, environment: [row.setting.environmentName: row.value]))
        try await withFile("c.json", row.json) { file in
            let holds = try await self.holds(row, file: file)
            #expect(holds)
        }
        try await withFile("c.yaml", row.yaml) { file in
            let holds = try await self.holds(row, file: file)
            #expect(holds)
        }
        // And it is no default.
        #expect(try await !self.holds(row))
    }

    @Test("so are those of Redis", arguments: redisRows)
    func redisNames(row: SettingRow) async throws {
        let url = ["--redis", "redis://127.0.0.1:6379"]
        #expect(try await self.holds(row, flags: url + ["--" + row.setting.flag, row.value]))
        #expect(try await self.holds(row, flags: url, environment: [row.setting.environmentName: row.value]))
        try await withFile("c.json", row.json) { file in
            let holds = try await self.holds(row, flags: url, file: file)
            #expect(holds)
        }
        try await withFile("c.yml", row.yaml) { file in
            let holds = try await self.holds(row, flags: url, file: file)
            #expect(holds)
        }
    }

    @Test("every setting has a row here")
    func allRows() {
        let tested = Set((Self.rows + Self.redisRows).map(\.setting.flag)).union([Setting.redisCA.flag])
        #expect(tested == Set(Setting.ofServe.map(\.flag)))
        #expect(Set(Setting.all.map(\.key)).count == Setting.all.count)
        #expect(Setting.redisKeyPrefix.environmentName == "ADTRACK_REDIS_KEY_PREFIX")
    }

    @Test("a flag is stronger than the environment, that than a file, that than a default")
    func precedence() async throws {
        for (name, text) in [("c.json", #"{"http": {"port": 1003}}"#), ("c.yaml", "http:\n  port: 1003\n")] {
            try await withFile(name, text) { file in
                let environment = ["ADTRACK_PORT": "1002"]
                let all = try await self.read(flags: ["--port", "1001"], environment: environment, file: file)
                #expect(all.port == 1001)
                #expect(try await self.read(environment: environment, file: file).port == 1002)
                #expect(try await self.read(file: file).port == 1003)
            }
        }
        #expect(try await self.read().port == 8080)
    }

    @Test("a file may write numbers as numbers")
    func numbers() async throws {
        let json =
            #"{"http": {"port": 1234}, "eventLoops": 4, "batch": {"records": 7}, "journal": {"maxBytes": 1048576}}"#
        try await withFile("c.json", json) { file in
            let settings = try await self.read(file: file)
            #expect(settings.port == 1234 && settings.eventLoops == 4 && settings.sinks.batch.records == 7)
            #expect(settings.journal.maxBytes == 1 << 20)
        }
    }

    @Test("several sinks are several flags, words of a variable, or a list in a file")
    func sinks() async throws {
        let both = [SinkAddress.file(directory: "/a"), .file(directory: "/b")]
        #expect(try await self.read(flags: ["--sink", "file:/a", "--sink", "file:/b"]).sinks.addresses == both)
        #expect(try await self.read(environment: ["ADTRACK_SINK": "file:/a,file:/b"]).sinks.addresses == both)
        try await withFile("c.json", #"{"sinks": ["file:/a", "file:/b"]}"#) { file in
            let sinks = try await self.read(file: file).sinks.addresses
            #expect(sinks == both)
        }
        try await withFile("c.yaml", "sinks:\n  - file:/a\n  - file:/b\n") { file in
            let sinks = try await self.read(file: file).sinks.addresses
            #expect(sinks == both)
        }
    }

    @Test("an empty key prefix reads the older system's keys, wherever it is written")
    func emptyPrefix() async throws {
        let url = ["--redis", "redis://127.0.0.1:6379"]
        #expect(try await self.prefix(flags: url + ["--redis-key-prefix", ""]) == "")
        let environment = ["ADTRACK_REDIS_KEY_PREFIX": ""]
        #expect(try await self.prefix(flags: url, environment: environment) == "")
        try await withFile("c.json", #"{"redis": {"keyPrefix": ""}}"#) { file in
            let prefix = try await self.prefix(flags: url, file: file)
            #expect(prefix == "")
        }
    }

    // MARK: The system that this one replaces

    @Test("REDIS_HOST and REDIS_PORT name a Redis")
    func redisHost() async throws {
        func address(_ environment: [String: String], _ flags: [String] = []) async throws -> String {
            guard case .redis(let redis, _, _) = try await self.read(flags: flags, environment: environment).coreData
            else {
                return "none"
            }
            return "\(redis.host) \(redis.port)"
        }
        #expect(try await address(["REDIS_HOST": "r"]) == "r 6379")
        #expect(try await address(["REDIS_HOST": "r", "REDIS_PORT": "7000"]) == "r 7000")
        #expect(try await address(["REDIS_HOST": "::1", "REDIS_PORT": "7000"]) == "::1 7000")
        #expect(try await address(["REDIS_HOST": ""]) == "none")
        #expect(try await address(["REDIS_PORT": "7000"]) == "none")
        // Our own names are stronger.
        #expect(try await address(["REDIS_HOST": "r", "ADTRACK_REDIS": "redis://o:1"]) == "o 1")
        #expect(try await address(["REDIS_HOST": "r"], ["--redis", "redis://f:2"]) == "f 2")
    }

    @Test("EVENT_STREAM and REGION name a Kinesis stream")
    func eventStream() async throws {
        let old = try await self.read(environment: ["EVENT_STREAM": "events", "REGION": "eu-west-1"])
        #expect(old.sinks.addresses == [.kinesis(.init(stream: "events", region: "eu-west-1"))])
        let settings = try await self.read(environment: ["EVENT_STREAM": "events", "ADTRACK_SINK": "file:/e"])
        #expect(settings.sinks.addresses == [.file(directory: "/e")])
    }

    @Test("a Redis sink has its own server or that of --redis, and its options are no part of its name")
    func redisSink() async throws {
        let own = try await self.read(flags: ["--sink", "redis:events?url=redis://u:p%2Fw@h:1&maxlen=1000"]).sinks
            .addresses
        #expect(own.map(\.name) == ["redis:events"])
        let server = try RedisConfiguration(url: "redis://h:1")
        #expect(own == [.redis(.init(key: "events", server: server, maxLength: 1000))])
        let shared = try await self.read(flags: ["--sink", "redis:events", "--redis", "redis://r:2"]).sinks.addresses
        #expect(shared == [.redis(.init(key: "events", server: try RedisConfiguration(url: "redis://r:2")))])
    }

    // MARK: Mistakes

    @Test(
        "a wrong value is one sentence that names its flag and what to write",
        arguments: [
            ("port", "x"), ("port", "65536"), ("port", "-1"), ("port", ""), ("management-port", "1.5"),
            ("max-connections", "0"),
            ("event-loops", "0"), ("event-loops", "many"), ("cache-capacity", "0"), ("cache-ttl", "5"),
            ("cache-ttl", "0"),
            ("negative-ttl", "-1s"), ("stale-max", "1y"), ("journal-max-bytes", "1KiB"), ("journal-max-bytes", "big"),
            ("journal-full", "explode"), ("durability", "sync"), ("batch-bytes", "1"), ("batch-records", "0"),
            ("batch-age", "soon"), ("drain-delay", "1d"), ("log-level", "loud"), ("client-address", "half"),
            ("sink", "file:"), ("sink", "nowhere"), ("sink", "redis:"), ("sink", "redis:key"),
            ("sink", "redis:k?url=x"),
            ("sink", "redis:k?url=redis://h&maxlen=0"), ("sink", "redis:k?url=redis://h&limit=1"),
            ("sink", "redis:k?url"),
            ("sink", "kinesis:"), ("sink", "kinesis:s?shard=1"), ("sink", "kinesis:s?region=a&region=b"),
            ("sink", "kinesis:s?region=eu-west-1&aggregation=x"), ("sink", "kinesis:no stream?region=eu-west-1"),
            ("sink", "ftp:x"), ("redis", "http://x"),
            ("redis", "x"),
            ("head-max-fields", "0"), ("target-max-bytes", "1GiB"), ("head-timeout", "0"),
        ]
    )
    func mistakes(flag: String, value: String) async throws {
        let name = "ADTRACK_" + flag.uppercased().replacing("-", with: "_")
        for sentence in [await self.sentence(["--\(flag)=\(value)"]), await self.sentence([], [name: value])] {
            #expect(sentence.contains("--\(flag)"), "\(sentence)")
            #expect(!sentence.contains("\n"), "\(sentence)")
            #expect(sentence.utf8.count > flag.utf8.count + 10 && sentence.utf8.count < 250, "\(sentence)")
        }
    }

    @Test("settings that exclude each other say so")
    func conflicts() async throws {
        let both = await self.sentence(["--redis", "redis://a:1", "--programs", "/p"])
        #expect(both.contains("--redis") && both.contains("--programs"))
        let twice = await self.sentence(["--sink", "file:/a", "--sink", "file:/a"])
        #expect(twice.contains("--sink"))
        let options = await self.sentence(["--sink", "redis:k?url=redis://a", "--sink", "redis:k?url=redis://b"])
        #expect(options.contains("--sink"))
    }

    @Test("a password never stands in a sentence")
    func secrets() async throws {
        for url in ["redis://user:hunter2@:x", "redis://user:hunter2@host:99999", "http://user:hunter2@host"] {
            let sentence = await self.sentence(["--redis", url])
            #expect(sentence != "accepted" && !sentence.contains("hunter2"), "\(sentence)")
        }
        for sink in [
            "redis:k?url=redis://user:hunter2@:x", "redis:k?url=redis://u:hunter2@h&x=1",
            "redis:?url=redis://:hunter2@h",
        ] {
            let sentence = await self.sentence(["--sink", sink])
            #expect(sentence != "accepted" && !sentence.contains("hunter2"), "\(sentence)")
        }
    }

    @Test("a file that is missing, broken or of another kind says which file it is")
    func files() async throws {
        #expect(await self.sentence([], file: "/nowhere/c.json").contains("/nowhere/c.json"))
        try await withFile("c.json", "{") { #expect(await self.sentence([], file: $0).contains($0)) }
        try await withFile("c.yaml", "a: [") { #expect(await self.sentence([], file: $0).contains($0)) }
        try await withFile("c.toml", "") { #expect(await self.sentence([], file: $0).contains($0)) }
    }

    @Test(
        "what a file says wrongly is refused as a flag would be",
        arguments: ["[]", "[\"1\", \"2\"]", "1.5", "\"x\"", "70000"]
    )
    func wrongFile(value: String) async throws {
        try await withFile("c.json", "{\"http\": {\"port\": \(value)}}") { file in
            let sentence = await self.sentence([], file: file)
            #expect(sentence.contains("--port"), "\(value): \(sentence)")
        }
    }
}
