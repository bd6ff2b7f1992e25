/// `redis://[user:password@]host[:port]` and `rediss://…`.
extension RedisConfiguration {
    /// - Parameters:
    ///   - url: user and password may hold percent escapes; an IPv6 host stands in brackets; the port is 6379 where absent.
    ///   - certificateAuthority: a PEM file to trust instead of the system's authorities; only for `rediss://`.
    /// - Throws: a `configuration` error whose sentence never repeats the URL, which may hold a password.
    public init(url: String, certificateAuthority: String? = nil) throws(RedisError) {
        let (encrypted, afterScheme) = try Self.scheme(of: url)
        let end = afterScheme.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? afterScheme.endIndex
        // A password may hold an unescaped slash by mistake; the rest then is no path and says so.
        guard ["", "/", "/0"].contains(afterScheme[end...]) else {
            throw Self.fault("ends after the port: databases other than 0 and options are not supported")
        }
        let authority = afterScheme[..<end]
        var place = authority
        var credentials: Credentials?
        if let at = authority.lastIndex(of: "@") {
            credentials = try Self.credentials(authority[..<at])
            place = authority[authority.index(after: at)...]
        }
        let (host, port) = try Self.hostAndPort(place)
        self.init(host: host, port: port)
        self.credentials = credentials
        if encrypted {
            trust = try Trust(certificateAuthority: certificateAuthority)
        } else if certificateAuthority != nil {
            throw RedisError(.configuration, "A certificate authority needs a Redis URL that begins with rediss://.")
        }
    }

    private static func fault(_ what: String) -> RedisError {
        RedisError(.configuration, "A Redis URL has the form redis://[user:password@]host[:port] and \(what).")
    }

    private static func scheme(of url: String) throws(RedisError) -> (encrypted: Bool, rest: Substring) {
        let lowered = url.prefix(9).lowercased()
        if lowered.hasPrefix("rediss://") { return (true, url.dropFirst(9)) }
        if lowered.hasPrefix("redis://") { return (false, url.dropFirst(8)) }
        throw fault("begins with redis:// or rediss://")
    }

    private static func credentials(_ text: Substring) throws(RedisError) -> Credentials? {
        if text.isEmpty { return nil }
        guard let colon = text.firstIndex(of: ":") else { throw fault("has a password after the user") }
        let (first, second) = (text[..<colon], text[text.index(after: colon)...])
        guard let user = percentDecoded(first), let password = percentDecoded(second) else {
            throw fault("has only valid percent escapes in user and password")
        }
        guard !password.isEmpty else { throw fault("has no empty password") }
        return Credentials(user: user.isEmpty ? nil : user, password: password)
    }

    private static func hostAndPort(_ text: Substring) throws(RedisError) -> (String, Int) {
        let host: Substring
        let rest: Substring
        if text.first == "[" {
            guard let close = text.firstIndex(of: "]") else { throw fault("closes the bracket of an IPv6 address") }
            host = text[text.index(after: text.startIndex)..<close]
            rest = text[text.index(after: close)...]
            guard host.contains(":"), host.utf8.allSatisfy(isIPv6Byte) else {
                throw fault("has an IPv6 address in brackets")
            }
        } else {
            let colon = text.firstIndex(of: ":") ?? text.endIndex
            host = text[..<colon]
            rest = text[colon...]
            guard !host.isEmpty, host.utf8.allSatisfy(isNameByte) else { throw fault("has a host name") }
        }
        if rest.isEmpty { return (String(host), 6379) }
        let digits = rest.dropFirst()
        guard rest.first == ":", digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits),
            (1...65_535).contains(port)
        else { throw fault("has a port from 1 to 65535") }
        return (String(host), port)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
        default: false
        }
    }

    private static func isIPv6Byte(_ byte: UInt8) -> Bool {
        isNameByte(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "%")
    }

    /// nil where an escape is broken or the result is no UTF-8.
    private static func percentDecoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexDigit) else { return nil }
            guard let low = rest.popFirst().flatMap(hexDigit) else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
        default: nil
        }
    }
}
