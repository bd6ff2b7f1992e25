@testable import HTTPIngress

/// An accepted head, read a second time in the plainest way: as lines that are split where the standard says.
struct PlainHead {
    let bytes: [UInt8]
    let method: [UInt8]
    let target: [UInt8]
    let version: [UInt8]
    let fields: [(name: [UInt8], value: [UInt8])]

    /// Of the bytes up to the end of the head, which must be lines of CRLF (RFC 9112 section 2.1) and an empty one.
    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var lines: [[UInt8]] = [[]]
        var index = 0
        while index < bytes.count {
            if bytes[index] == 0x0d {
                require(index + 1 < bytes.count && bytes[index + 1] == 0x0a, "a carriage return alone")
                lines.append([])
                index += 2
            } else {
                let isText = bytes[index] >= 0x20 && bytes[index] != 0x7f || bytes[index] == 0x09
                require(isText, "a control character at \(index)")
                lines[lines.count - 1].append(bytes[index])
                index += 1
            }
        }
        if lines[0].isEmpty { lines.removeFirst() }
        require(lines.count >= 3 && lines.suffix(2).allSatisfy(\.isEmpty), "no empty line at the end")
        let words = lines[0].split(separator: 0x20, omittingEmptySubsequences: false)
        require(words.count == 3, "a request line of \(words.count) words")
        (self.method, self.target, self.version) = (Array(words[0]), Array(words[1]), Array(words[2]))
        self.fields = lines[1..<(lines.count - 2)].map { line in
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0 else { fatalError("no field name") }
            return (line[..<colon].map(Self.lowercased), Self.trimmed(line[(colon + 1)...]))
        }
    }

    var minor: UInt8 { self.version.last ?? 0 }

    func values(_ name: String) -> [[UInt8]] {
        self.fields.filter { $0.name == Array(name.utf8) }.map(\.value)
    }

    static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte + 0x20 : byte }

    static func trimmed(_ text: ArraySlice<UInt8>) -> [UInt8] {
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        guard let end = text.lastIndex(where: { !isBlank($0) }) else { return [] }
        return Array(text[...end].drop(while: isBlank))
    }

    /// That the parser read the same, and that nothing it promises to refuse is in it.
    func check(_ head: RequestHead, _ limits: HeadLimits) {
        self.checkRequestLine(head)
        self.checkFraming(head)
        let emptyLine = self.bytes[0] == 0x0d ? 2 : 0
        require(self.bytes.count - emptyLine <= limits.headBytes, "a head of \(self.bytes.count) bytes")
        require(self.target.count <= limits.targetBytes, "a target of \(self.target.count) bytes")
        require(self.fields.count <= limits.fields, "\(self.fields.count) fields")
        require(head.userAgent.of(self.bytes) == self.values("user-agent").last ?? [], "another User-Agent")
        require(head.referrer.of(self.bytes) == self.values("referer").last ?? [], "another Referer")
        let isToken = { (byte: UInt8) in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
            default: Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
            }
        }
        for field in self.fields { require(field.name.allSatisfy(isToken), "a name that is no token") }
    }

    private func checkRequestLine(_ head: RequestHead) {
        switch head.method {
        case .get: require(self.method == Array("GET".utf8), "no GET")
        case .head: require(self.method == Array("HEAD".utf8), "no HEAD")
        case .other:
            let others = ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"]
            require(others.contains { self.method == Array($0.utf8) }, "another method")
        case .unknown: fatalError("a method that is not known is accepted")
        }
        require(self.version.starts(with: "HTTP/1.".utf8) && self.version.count == 8, "another version")
        require(head.isHTTP10 == (self.minor == 0x30), "1.0 and 1.1 mistaken")
        require(!self.target.contains(UInt8(ascii: "#")), "a fragment in a target")
        let parts = self.target.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        let path = head.path.of(self.bytes)
        require(head.query.of(self.bytes) == (parts.count == 2 ? Array(parts[1]) : []), "another query")
        require(parts[0].suffix(path.count) == path[...], "the path is not the target's end")
        require(head.pathHasEscapes || !path.contains(UInt8(ascii: "%")), "an escape is missed")
        guard self.target[0] != UInt8(ascii: "/"), self.target[0] != UInt8(ascii: "*") else {
            return require(path[...] == parts[0], "a path is cut")
        }
        guard self.method != Array("CONNECT".utf8) else { return }
        // absolute-form: what is before the path is a scheme and an authority without a user.
        let words = parts[0].split(separator: UInt8(ascii: "/"), maxSplits: 3, omittingEmptySubsequences: false)
        let scheme = words[0].map(Self.lowercased)
        require(scheme == Array("http:".utf8) || scheme == Array("https:".utf8), "another scheme")
        require(words.count >= 3 && words[1].isEmpty && !words[2].isEmpty, "no authority")
        require(!words[2].contains(UInt8(ascii: "@")), "a user in a target")
        require(path == (words.count == 4 ? [UInt8(ascii: "/")] + words[3] : []), "the path is not what follows")
    }

    /// RFC 9112 sections 3.2, 6.1 to 6.3 and 9.3.
    private func checkFraming(_ head: RequestHead) {
        let hosts = self.values("host").count
        require(hosts == 1 || hosts == 0 && head.isHTTP10, "\(hosts) hosts")
        let lengths = self.values("content-length")
        let codings = self.values("transfer-encoding")
        require(lengths.count + codings.count <= 1, "a body framed twice")
        let isNumber = { (text: [UInt8]) in !text.isEmpty && text.allSatisfy { 0x30...0x39 ~= $0 } }
        require(lengths.allSatisfy(isNumber), "a length that is none")
        require(codings.allSatisfy { $0.map(Self.lowercased) == Array("chunked".utf8) }, "another coding")
        require(codings.isEmpty || !head.isHTTP10, "chunks in HTTP/1.0")
        let hasBody = !codings.isEmpty || lengths.contains { $0.contains { $0 != 0x30 } }
        require(head.announcesBody == hasBody, "a body is mistaken")
        let options = self.values("connection").flatMap { $0.split(separator: UInt8(ascii: ",")) }
            .map { String(decoding: Self.trimmed($0).map(Self.lowercased), as: UTF8.self) }
        let stays = !options.contains("close") && (!head.isHTTP10 || options.contains("keep-alive"))
        require(head.keepsAlive == stays, "the connection's fate is mistaken")
    }
}
