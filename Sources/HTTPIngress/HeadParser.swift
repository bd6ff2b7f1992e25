/// Reads request heads (RFC 9112 sections 2 to 3 and 5), strictly: what two readers could understand in two ways is
/// refused, so that no proxy in front of us can be made to see other requests than we do (request smuggling).
///
/// A value over bounds-checked spans; it begins anew whenever more bytes of a head have come.
package struct HeadParser {
    package enum Result {
        case incomplete
        /// The head has this many bytes; the request ends with it, unless the head announces a body.
        case complete(Int)
        case fault(HeadFault)
    }

    private(set) var head = RequestHead()
    private let limits: HeadLimits
    private var position = 0
    /// How many bytes are looked at.
    private var most = 0
    private var isConnect = false
    private var fields = FieldFacts()

    /// What the fields say about framing.
    private struct FieldFacts {
        var count = 0
        var hosts = 0
        var contentLengths = 0
        var contentLengthIsZero = true
        var transferEncodings = 0
        var saysClose = false
        var saysKeepAlive = false
    }

    /// What one step found.
    private enum Step {
        case done
        case incomplete
        case fault(HeadFault)
    }

    package init(_ limits: HeadLimits) { self.limits = limits }

    package mutating func parse(_ bytes: Span<UInt8>) -> Result {
        self.parsePath(bytes) ?? self.parseRest(bytes)
    }

    /// The first half of `parse`: as far as the path is known.
    ///
    /// - Returns: nil where it is.
    mutating func parsePath(_ bytes: Span<UInt8>) -> Result? {
        self.head = RequestHead()
        self.fields = FieldFacts()
        self.position = 0
        // RFC 9112 section 2.2: one empty line before the request line is ignored.
        if bytes.count >= 2, bytes[0] == .carriageReturn, bytes[1] == .lineFeed { self.position = 2 }
        // What lies behind the limit is not looked at: the answer must not depend on how much of it has come.
        self.most = min(bytes.count, self.position + self.limits.headBytes)
        let visible = bytes.extracting(0..<self.most)
        var step = self.method(visible)
        if case .done = step { step = self.target(visible) }
        if case .done = step { return nil }
        return self.result(of: step, bytes)
    }

    /// The second half, after `parsePath` has found a path in the same bytes.
    mutating func parseRest(_ bytes: Span<UInt8>) -> Result {
        let step = self.versionAndFields(bytes.extracting(0..<self.most))
        return self.result(of: step, bytes)
    }

    private func result(of step: Step, _ bytes: Span<UInt8>) -> Result {
        switch step {
        case .done: .complete(self.position)
        case .incomplete: self.most < bytes.count ? .fault(.headTooLarge) : .incomplete
        case .fault(let fault): .fault(fault)
        }
    }

    private mutating func versionAndFields(_ bytes: Span<UInt8>) -> Step {
        var step = self.version(bytes)
        guard case .done = step else { return step }
        while true {
            guard self.position < bytes.count else { return .incomplete }
            guard bytes[self.position] != .carriageReturn else { break }
            step = self.field(bytes)
            guard case .done = step else { return step }
        }
        step = self.lineEnd(bytes)
        guard case .done = step else { return step }
        return self.framing()
    }

    // MARK: The request line

    private mutating func method(_ bytes: Span<UInt8>) -> Step {
        let begin = self.position
        // No method of the IANA registry has more than 18 letters.
        let end = min(bytes.count, begin + 32)
        while self.position < end, bytes[self.position].isTokenCharacter { self.position &+= 1 }
        guard self.position < end else { return end == bytes.count ? .incomplete : .fault(.malformed) }
        guard bytes[self.position] == .space, self.position > begin else {
            // A lone CR may be the beginning of the empty line that is ignored.
            return bytes.count - begin == 1 && bytes[begin] == .carriageReturn ? .incomplete : .fault(.malformed)
        }
        let name = bytes.extracting(begin..<self.position)
        self.head.method = Self.method(named: name)
        self.isConnect = self.head.method == .other && name.equals("CONNECT")
        self.position &+= 1
        return .done
    }

    private static func method(named name: Span<UInt8>) -> RequestHead.Method {
        if name.equals("GET") { return .get }
        if name.equals("HEAD") { return .head }
        let isKnown =
            name.equals("POST") || name.equals("PUT") || name.equals("DELETE") || name.equals("OPTIONS")
            || name.equals("PATCH") || name.equals("TRACE") || name.equals("CONNECT")
        return isKnown ? .other : .unknown
    }

    private mutating func target(_ bytes: Span<UInt8>) -> Step {
        let begin = self.position
        // As far as the first byte that is too much.
        let end = min(bytes.count, begin + self.limits.targetBytes + 1)
        var question = -1
        while self.position < end {
            let byte = bytes[self.position]
            if byte.isTargetMark {
                if byte <= .space || byte == .delete { break }
                if byte == UInt8(ascii: "?"), question < 0 { question = self.position }
                if byte == UInt8(ascii: "%"), question < 0 { self.head.pathHasEscapes = true }
                if byte == UInt8(ascii: "#") { return .fault(.malformed) }
            }
            self.position &+= 1
        }
        guard self.position - begin <= self.limits.targetBytes else { return .fault(.targetTooLong) }
        guard self.position < bytes.count else { return .incomplete }
        guard bytes[self.position] == .space, self.position > begin else { return .fault(.malformed) }
        let pathEnd = question < 0 ? self.position : question
        guard let pathStart = self.pathStart(bytes, begin, pathEnd) else { return .fault(.malformed) }
        self.head.path = RequestHead.Piece(start: pathStart, end: pathEnd)
        self.head.query = RequestHead.Piece(start: min(pathEnd + 1, self.position), end: self.position)
        self.position &+= 1
        return .done
    }

    /// RFC 9112 section 3.2: origin-form, absolute-form (what a proxy sends), asterisk-form.
    private func pathStart(_ bytes: Span<UInt8>, _ begin: Int, _ end: Int) -> Int? {
        guard begin < end else { return nil }
        if bytes[begin] == UInt8(ascii: "/") { return begin }
        if bytes[begin] == UInt8(ascii: "*"), end == begin + 1 { return begin }
        let target = bytes.extracting(begin..<end)
        let scheme = target.startsIgnoringCase("http://") ? 7 : target.startsIgnoringCase("https://") ? 8 : 0
        // authority-form is CONNECT's alone, which no path of ours takes.
        guard scheme > 0 else { return self.isConnect ? end : nil }
        var position = begin + scheme
        while position < end, bytes[position] != UInt8(ascii: "/") { position += 1 }
        let authority = bytes.extracting(begin + scheme..<position)
        return authority.isEmpty || !authority.isHost ? nil : position
    }

    private mutating func version(_ bytes: Span<UInt8>) -> Step {
        let expected: StaticString = "HTTP/"
        for index in 0..<expected.utf8CodeUnitCount {
            guard self.position < bytes.count else { return .incomplete }
            guard bytes[self.position] == expected.utf8Start[index] else { return .fault(.malformed) }
            self.position &+= 1
        }
        guard self.position + 2 < bytes.count else {
            return self.isCleanVersion(bytes) ? .incomplete : .fault(.malformed)
        }
        let major = bytes[self.position]
        let minor = bytes[self.position + 2]
        guard major.isDigit, bytes[self.position + 1] == UInt8(ascii: "."), minor.isDigit else {
            return .fault(.malformed)
        }
        self.position &+= 3
        let step = self.lineEnd(bytes)
        guard case .done = step else { return step }
        guard major == UInt8(ascii: "1") else { return .fault(.versionUnsupported) }
        self.head.isHTTP10 = minor == UInt8(ascii: "0")
        guard self.head.method != .unknown else { return .fault(.methodUnknown) }
        return .done
    }

    private func isCleanVersion(_ bytes: Span<UInt8>) -> Bool {
        for index in self.position..<bytes.count where !(bytes[index].isDigit || bytes[index] == UInt8(ascii: ".")) {
            return false
        }
        return true
    }

    private mutating func lineEnd(_ bytes: Span<UInt8>) -> Step {
        guard self.position < bytes.count else { return .incomplete }
        guard bytes[self.position] == .carriageReturn else { return .fault(.malformed) }
        guard self.position + 1 < bytes.count else { return .incomplete }
        guard bytes[self.position + 1] == .lineFeed else { return .fault(.malformed) }
        self.position &+= 2
        return .done
    }

    // MARK: Fields

    /// RFC 9112 section 5: no space before the colon, no line folding, no control characters.
    private mutating func field(_ bytes: Span<UInt8>) -> Step {
        let nameStart = self.position
        while self.position < bytes.count, bytes[self.position].isTokenCharacter { self.position &+= 1 }
        guard self.position < bytes.count else { return .incomplete }
        guard bytes[self.position] == UInt8(ascii: ":"), self.position > nameStart else { return .fault(.malformed) }
        let nameEnd = self.position
        self.position &+= 1
        while self.position < bytes.count, bytes[self.position].isBlank { self.position &+= 1 }
        let valueStart = self.position
        while true {
            self.position = bytes.firstControl(from: self.position)
            guard self.position < bytes.count else { return .incomplete }
            guard bytes[self.position] == .tab else { break }
            self.position &+= 1
        }
        var valueEnd = self.position
        let step = self.lineEnd(bytes)
        guard case .done = step else { return step }
        while valueEnd > valueStart, bytes[valueEnd &- 1].isBlank { valueEnd &-= 1 }
        self.fields.count &+= 1
        guard self.fields.count <= self.limits.fields else { return .fault(.headTooLarge) }
        let value = RequestHead.Piece(start: valueStart, end: valueEnd)
        return self.note(bytes.extracting(nameStart..<nameEnd), value, bytes) ? .done : .fault(.malformed)
    }

    /// False: the value is malformed.
    private mutating func note(_ name: Span<UInt8>, _ value: RequestHead.Piece, _ bytes: Span<UInt8>) -> Bool {
        switch name.count {
        case 4 where name.equalsIgnoringCase("host"):
            self.fields.hosts &+= 1
            return bytes.extracting(value.start..<value.end).isHost
        case 7 where name.equalsIgnoringCase("referer"):
            self.head.referrer = value
        case 10 where name.equalsIgnoringCase("user-agent"):
            self.head.userAgent = value
        case 10 where name.equalsIgnoringCase("connection"):
            self.noteConnection(bytes.extracting(value.start..<value.end))
        case 14 where name.equalsIgnoringCase("content-length"):
            self.fields.contentLengths &+= 1
            return self.noteContentLength(bytes.extracting(value.start..<value.end))
        case 17 where name.equalsIgnoringCase("transfer-encoding"):
            self.fields.transferEncodings &+= 1
            return bytes.extracting(value.start..<value.end).equalsIgnoringCase("chunked")
        default:
            break
        }
        return true
    }

    private mutating func noteConnection(_ value: Span<UInt8>) {
        var start = 0
        while start < value.count {
            var end = start
            while end < value.count, value[end] != UInt8(ascii: ",") { end &+= 1 }
            var from = start
            var to = end
            while from < to, value[from].isBlank { from &+= 1 }
            while to > from, value[to &- 1].isBlank { to &-= 1 }
            let option = value.extracting(from..<to)
            if option.equalsIgnoringCase("close") { self.fields.saysClose = true }
            if option.equalsIgnoringCase("keep-alive") { self.fields.saysKeepAlive = true }
            start = end &+ 1
        }
    }

    private mutating func noteContentLength(_ value: Span<UInt8>) -> Bool {
        for index in value.indices {
            guard value[index].isDigit else { return false }
            if value[index] != UInt8(ascii: "0") { self.fields.contentLengthIsZero = false }
        }
        return !value.isEmpty
    }

    /// RFC 9112 sections 3.2 and 6.1 to 6.3.
    private mutating func framing() -> Step {
        let fields = self.fields
        guard fields.hosts <= 1, fields.hosts == 1 || self.head.isHTTP10 else { return .fault(.malformed) }
        guard fields.contentLengths <= 1, fields.transferEncodings <= 1 else { return .fault(.malformed) }
        if fields.transferEncodings == 1 {
            guard fields.contentLengths == 0, !self.head.isHTTP10 else { return .fault(.malformed) }
        }
        self.head.announcesBody = fields.transferEncodings == 1 || !fields.contentLengthIsZero
        self.head.keepsAlive = !fields.saysClose && (!self.head.isHTTP10 || fields.saysKeepAlive)
        return .done
    }
}
