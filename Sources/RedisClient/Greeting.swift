import NIOCore

/// What is said first on a connection, and whether the answers let it be used.
struct Greeting: Sendable, Equatable {
    enum Step: Sendable {
        case authenticate
        case setName
        case ping
    }

    enum Verdict: Sendable, Equatable {
        /// More answers must come.
        case incomplete
        case welcome
        case refused(RedisError)
    }

    /// The steps whose answers have not come, in order.
    private var awaited: [Step]

    init(authenticates: Bool) {
        awaited = authenticates ? [.authenticate, .setName, .ping] : [.setName, .ping]
    }

    /// All steps leave in one write.
    static func bytes(for configuration: RedisConfiguration) -> ByteBuffer {
        var bytes = ByteBuffer()
        if let credentials = configuration.credentials {
            let words = [credentials.user, credentials.password].compactMap { $0 }
            bytes.writeImmutableBuffer(RedisCommand("AUTH", words).encoded)
        }
        bytes.writeImmutableBuffer(RedisCommand("CLIENT", "SETNAME", configuration.clientName).encoded)
        bytes.writeImmutableBuffer(RedisCommand("PING").encoded)
        return bytes
    }

    mutating func received(_ answer: RESPValue) -> Verdict {
        guard !awaited.isEmpty else {
            return .refused(RedisError(.violation, "Redis answered more than it was asked."))
        }
        switch (awaited.removeFirst(), answer) {
        case (.authenticate, .error(let text)): return Self.refusal(text)
        // A user without the right to name itself, or to ping, is still welcome: its password was right.
        case (.setName, .error(let text)) where !Self.isDenial(text): return Self.refusal(text)
        case (.ping, .error(let text)) where !text.hasPrefix("NOPERM"): return Self.refusal(text)
        default: return awaited.isEmpty ? .welcome : .incomplete
        }
    }

    private static func isDenial(_ text: String) -> Bool {
        text.hasPrefix("NOPERM") || text.hasPrefix("ERR")
    }

    /// Only the error's first word is repeated: the rest is the server's text and may name users.
    private static func refusal(_ text: String) -> Verdict {
        let word = text.prefix { $0.isASCII && ($0.isUppercase || $0.isNumber) }
        return .refused(RedisError(.refused, "Redis refuses the connection: \(word.isEmpty ? "ERR" : word)."))
    }
}
