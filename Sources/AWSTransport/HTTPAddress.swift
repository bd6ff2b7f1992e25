/// The parts of an `http` or `https` address (RFC 3986) that an endpoint may have: no user, no query, no fragment.
struct HTTPAddress: Sendable, Equatable {
    var isEncrypted: Bool
    /// Without the brackets of an IPv6 address.
    var host: String
    /// nil where the address names none.
    var port: UInt16?
    /// At least `/`.
    var path: String

    init?(_ text: String) {
        let rest: Substring
        if let scheme = Self.cut("https://", from: text) {
            (self.isEncrypted, rest) = (true, scheme)
        } else if let scheme = Self.cut("http://", from: text) {
            (self.isEncrypted, rest) = (false, scheme)
        } else {
            return nil
        }
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"?#@\\\"<>".utf8.contains($0) }) else { return nil }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        self.path = slash == rest.endIndex ? "/" : String(rest[slash...])
        guard let (host, port) = Self.authority(rest[..<slash]) else { return nil }
        self.host = host
        self.port = port
    }

    private static func cut(_ scheme: String, from text: String) -> Substring? {
        text.prefix(scheme.count).lowercased() == scheme ? text.dropFirst(scheme.count) : nil
    }

    private static func authority(_ text: Substring) -> (host: String, port: UInt16?)? {
        var host = text
        var port: UInt16?
        if let colon = text.lastIndex(of: ":"), !text[colon...].contains("]") {
            guard let number = UInt16(text[text.index(after: colon)...]), number > 0 else { return nil }
            port = number
            host = text[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty ? nil : (host.lowercased(), port)
    }

    private var bracketedHost: String { self.host.contains(":") ? "[\(self.host)]" : self.host }

    /// As libcurl sends it: the port where it is not the scheme's own.
    var hostHeader: String {
        guard let port = self.port, port != (self.isEncrypted ? 443 : 80) else { return self.bracketedHost }
        return "\(self.bracketedHost):\(port)"
    }

    /// Without the path.
    var origin: String { "\(self.isEncrypted ? "https" : "http")://\(self.hostHeader)" }

    var isLoopback: Bool { self.host == "localhost" || self.host == "::1" || Self.isLoopbackAddress(self.host) }

    /// 127.0.0.0/8 written as four numbers.
    private static func isLoopbackAddress(_ host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
