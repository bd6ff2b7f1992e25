/// Everything a run is told: where, how fast, for how long, over how many connections, and what it asks.
public struct LoadPlan: Sendable {
    public var target: LoadTarget
    public var profile: LoadProfile
    /// 1 to ``mostConnections``.
    public var connections = 100
    /// Unanswered requests a connection may have; more than one means pipelining.
    public var pipeline = 1
    /// An answer that takes longer is an error, and its connection is closed.
    public var timeout: Duration = .seconds(5)
    public var mix: RequestMix
    /// The file that gets the messageId of every accepted answer, one a line.
    public var recordPath: String?

    /// The system's own limit is what `ulimit -n` says; beyond this one thread could not watch them in time.
    public static let mostConnections = 20_000
    /// One thread issues them: more than this a second it cannot, on any machine of today.
    public static let highestRate = 1_000_000.0
    /// A day.
    public static let longestDuration = Duration.seconds(86_400)
    public static let deepestPipeline = 128

    public init(target: LoadTarget, profile: LoadProfile, mix: RequestMix) {
        self.target = target
        self.profile = profile
        self.mix = mix
    }
}

/// Why a run could not start, or could not end as it should, as one sentence.
public struct LoadError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Where requests go: the parts of an `http://` URL.
public struct LoadTarget: Sendable, Equatable {
    public let host: String
    public let port: Int
    /// What stands before every path, without a slash at its end.
    public let prefix: String

    /// The Host field: an IPv6 address keeps its brackets.
    var authority: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Understands `http://host[:port][/prefix]`; the port is 80 where it is left out.
    public init(url: String) throws {
        let scheme = "http://"
        guard url.lowercased().hasPrefix(scheme) else {
            throw LoadError("'\(url)' is not a URL that starts with http://")
        }
        let rest = url.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" }
        var prefix = rest.dropFirst(authority.count)
        while prefix.hasSuffix("/") { prefix.removeLast() }
        guard prefix.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
        else { throw LoadError("the path of '\(url)' may only be plain ASCII without a query") }
        guard let (host, port) = Self.hostAndPort(authority) else {
            throw LoadError("'\(url)' does not name a host and a port from 1 to 65535")
        }
        self.host = host
        self.port = port
        self.prefix = String(prefix)
    }

    private static func hostAndPort(_ authority: Substring) -> (String, Int)? {
        var host = authority
        var tail: Substring = ""
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            tail = authority[authority.index(after: end)...]
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            tail = authority[colon...]
        }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "@") }) else {
            return nil
        }
        if tail.isEmpty { return (String(host), 80) }
        guard tail.hasPrefix(":"), let port = UInt16(tail.dropFirst()), port > 0 else { return nil }
        return (String(host), Int(port))
    }
}
