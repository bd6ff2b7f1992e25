public import NIOCore
import NIOSSL

/// Where Redis is, who we are to it, and every bound and deadline of a connection.
public struct RedisConfiguration: Sendable {
    public var host: String
    public var port: Int
    var credentials: Credentials?
    var trust: Trust?

    /// From sending a command to its reply; after it the caller has a `timeout` and a late reply is discarded.
    public var commandTimeout: TimeAmount = .milliseconds(50)
    /// A reply later than this after its deadline closes the connection: it will not come any more.
    public var lateReplyLimit: TimeAmount = .seconds(1)
    /// To the open connection, and again from there to the end of the greeting.
    public var connectTimeout: TimeAmount = .seconds(1)
    /// The pause before connecting again doubles from the first to the second; each is jittered down to half of it.
    public var backOff: ClosedRange<TimeAmount> = .milliseconds(50)...TimeAmount.milliseconds(500)
    /// An idle connection is asked for a sign of life this often.
    public var pingInterval: TimeAmount = .seconds(1)
    /// Commands sent or to be sent whose reply has not come, late ones included.
    public var maximumPendingCommands = 16_384
    /// The bytes of those commands.
    public var maximumPendingBytes = 8 * 1024 * 1024
    /// Payload of one reply or one published message, in bytes.
    public var maximumReplyBytes = 16 * 1024 * 1024
    /// Elements of one reply, counted over all its arrays.
    public var maximumReplyElements = 65_536
    /// The name `CLIENT LIST` shows.
    public var clientName = "adtrack"

    public init(host: String, port: Int = 6379) {
        self.host = host
        self.port = port
    }

    /// Whether the connection is encrypted and the server's certificate verified.
    public var usesTLS: Bool { trust != nil }

    var replyLimits: ReplyReader.Limits {
        ReplyReader.Limits(bytes: maximumReplyBytes, elements: maximumReplyElements)
    }

    /// A user's name and password; shows neither in any description.
    struct Credentials: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
        /// nil authenticates as Redis' default user.
        var user: String?
        var password: String

        var description: String { "(hidden)" }
        var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// The certificate authorities that are trusted, read once and shared by all connections.
    struct Trust: Sendable {
        let context: NIOSSLContext
    }
}

extension RedisConfiguration: CustomStringConvertible {
    /// Scheme, host and port; never the credentials.
    public var description: String {
        let scheme = usesTLS ? "rediss" : "redis"
        return host.contains(":") ? "\(scheme)://[\(host)]:\(port)" : "\(scheme)://\(host):\(port)"
    }
}

extension RedisConfiguration: CustomReflectable {
    public var customMirror: Mirror { Mirror(self, children: ["address": description]) }
}

extension RedisConfiguration.Trust {
    /// - Parameter certificateAuthority: a PEM file of the authorities to trust instead of the system's.
    init(certificateAuthority: String?) throws(RedisError) {
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        settings.certificateVerification = .fullVerification
        if let certificateAuthority { settings.trustRoots = .file(certificateAuthority) }
        do {
            context = try NIOSSLContext(configuration: settings)
        } catch {
            let source = certificateAuthority.map { "in \"\($0)\"" } ?? "of the system"
            throw RedisError(.configuration, "The certificate authorities \(source) cannot be read.")
        }
    }
}
