import ArgumentParser
import RedisClient
import StreamSink

/// Where a copy of every event goes.
enum SinkAddress: Equatable {
    case file(directory: String)
    case redis(RedisTarget)
    case kinesis(KinesisStream.Target)

    struct RedisTarget: Equatable {
        var key: String
        var server: RedisConfiguration
        /// About how many entries Redis keeps; nil keeps all.
        var maxLength: Int?

        static func == (one: Self, other: Self) -> Bool {
            one.key == other.key && one.maxLength == other.maxLength
                && one.server.description == other.server.description
        }
    }

    /// As the journal, the ledger and the metrics name it: without options, so that a changed one keeps the position, and
    /// no secret is ever shown.
    var name: String {
        switch self {
        case .file(let directory): "file:\(directory)"
        case .redis(let target): "redis:\(target.key)"
        case .kinesis(let target): "kinesis:\(target.stream)"
        }
    }

    static let forms = """
        file:DIR, redis:KEY[?url=redis://…&maxlen=N] or kinesis:STREAM[?region=…&endpoint=URL&aggregation=kpl]
        """

    /// - Parameter settings: for the Redis and the authorities that are used where none are named.
    init(_ text: String, _ settings: Settings) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[1].isEmpty else { throw Self.refusal(text, "write \(Self.forms)") }
        switch parts[0] {
        case "file": self = .file(directory: String(parts[1]))
        case "redis": self = .redis(try RedisTarget(SinkOptions(text, parts[1]), settings))
        case "kinesis": self = .kinesis(try KinesisStream.Target(SinkOptions(text, parts[1])))
        default: throw Self.refusal(text, "write \(Self.forms)")
        }
    }

    /// What stands behind a question mark may hold a password.
    fileprivate static func refusal(_ text: String, _ advice: String) -> ValidationError {
        Settings.refusal(.sink, String(text.prefix { $0 != "?" }), advice)
    }
}

/// `NAME[?option=value&…]`.
private struct SinkOptions {
    let text: String
    let name: String
    private var values: [String: String] = [:]

    init(_ text: String, _ target: Substring) throws {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.text = text
        self.name = String(parts[0])
        guard !self.name.isEmpty else { throw SinkAddress.refusal(text, "write \(SinkAddress.forms)") }
        for option in parts.count == 2 ? parts[1].split(separator: "&", omittingEmptySubsequences: false) : [] {
            let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[0].isEmpty, !pair[1].isEmpty else {
                throw self.refusal("write options as ?name=value&name=value")
            }
            guard self.values.updateValue(String(pair[1]), forKey: String(pair[0])) == nil else {
                throw self.refusal("give the option '\(pair[0])' once")
            }
        }
    }

    mutating func take(_ option: String) -> String? { self.values.removeValue(forKey: option) }

    /// - Parameter known: for the sentence.
    func expectNothingElse(_ known: String) throws {
        guard let unknown = self.values.keys.min() else { return }
        throw self.refusal("'\(unknown)' is no option of it; there are \(known)")
    }

    func refusal(_ advice: String) -> ValidationError { SinkAddress.refusal(self.text, advice) }
}

extension SinkAddress.RedisTarget {
    fileprivate init(_ given: SinkOptions, _ settings: Settings) throws {
        var options = given
        self.key = options.name
        let url = options.take("url")
        let length = options.take("maxlen")
        try options.expectNothingElse("url and maxlen")
        if let length {
            guard let number = Int(length), number > 0 else {
                throw options.refusal("maxlen is a number of entries, from 1")
            }
            self.maxLength = number
        }
        guard let server = url ?? settings.text(.redis) else {
            throw options.refusal("say which Redis: redis:KEY?url=redis://host:port, or --redis")
        }
        do {
            let isEncrypted = server.lowercased().hasPrefix("rediss:")
            self.server = try RedisConfiguration(
                url: server,
                certificateAuthority: isEncrypted ? settings.text(.redisCA) : nil
            )
        } catch {
            throw options.refusal("\(error)")
        }
    }
}

extension KinesisStream.Target {
    fileprivate init(_ given: SinkOptions) throws {
        var options = given
        // Kinesis API reference, StreamName; or an ARN, which holds more.
        let isName = options.name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x5f, 0x2e, 0x2d].contains(byte)
        }
        guard options.name.hasPrefix("arn:") || (isName && options.name.utf8.count <= 128) else {
            throw options.refusal("a stream's name has up to 128 letters, digits, '_', '.' and '-'")
        }
        self.init(stream: options.name)
        self.region = options.take("region")
        self.endpoint = options.take("endpoint")
        if let aggregation = options.take("aggregation") {
            guard aggregation == "kpl" else { throw options.refusal("aggregation is kpl, or left out") }
            self.isAggregated = true
        }
        try options.expectNothingElse("region, endpoint and aggregation")
        // What AWS would never accept is said now, not at the first call.
        do { try KinesisStream.check(self) } catch { throw options.refusal("\(error)") }
    }
}
