@testable import HTTPIngress
@testable import TrackingModel

/// Requests that reach the event.
enum TrackedCorpus {
    static let requests = [
        "/event/1", "/event/p%2d1?type=conversion&a=b&c=", "/event/1?type=impression&%61=%C3%A4&b",
        "/event/1?checksum=abc&order=1&value=2", "/event/1?type=x", "/event/1?a=1&a=2", "/event/1?a=%00", "/event/1?&",
        "/event/1?a=%C2%80", "/event/1?a=%F0%9F%98%80", "/event/%", "/event/a%2Fb", "/event/1?a==b&c=%26%3D",
    ].map { "GET \($0) HTTP/1.1\r\nHost: a\r\nUser-Agent: \"Mozilla\\\" \tä\u{80}\r\nReferer: https://e.com/\r\n\r\n" }
}

/// One that takes everything, and one with every kind of rule.
nonisolated(unsafe) private let programs = {
    var open = Program(id: ProgramID("1") ?? { fatalError("no id") }())
    open.isValid = true
    open.name = "Spring \"sale\""
    var ruled = open
    ruled.checksum = "abc"
    ruled.requiresChecksum = true
    ruled.version = 7
    ruled.customerID = -1
    ruled.parameters = ParameterRules(
        types: [.click, .conversion],
        allowed: ["order", "value", "a", "b"],
        required: ["order"],
        together: [["a", "b"]],
        values: ["value": ["1", "2"]]
    )
    return [RenderedProgram(open), RenderedProgram(ruled)]
}()

nonisolated(unsafe) private var messageIDs = MessageIDGenerator()
/// Read again and again into the same storage, as an event loop does.
nonisolated(unsafe) private var request = TrackingRequest()

/// Follows an accepted head the way that a tracking request takes, with a second reading beside it.
func checkTracking(_ bytes: [UInt8], _ head: RequestHead) {
    let path = head.path.of(bytes)
    if let id = path.span.trackedID {
        require(path.starts(with: "/event/".utf8) && !path[id].contains(UInt8(ascii: "/")), "no path of an event")
        var decoded: [UInt8] = []
        let isText = PercentEncoding.decode(path[id].span, into: &decoded)
        let plain = plainDecoding(path[id])
        require(isText == (plain != nil), "an id is text to one of two")
        if let plain { require(plain == decoded, "an id has two readings") }
    }
    let query = head.query.of(bytes)
    let plain = plainParameters(query)
    require(request.read(query: query.span) == (plain != nil), "a query is readable to one of two")
    guard let plain else { return }
    var read = request.parameters.indices.map { [Array(request.name($0)), Array(request.value($0))] }
    read += [request.typeText.map { [Array("type".utf8), Array($0)] }].compactMap(\.self)
    read += [request.checksum.map { [Array("checksum".utf8), Array($0)] }].compactMap(\.self)
    let isSpecial = { (name: [UInt8]) in name == Array("type".utf8) || name == Array("checksum".utf8) }
    let ordered = plain.filter { !isSpecial($0[0]) } + plain.filter { $0[0] == Array("type".utf8) }
    require(read == ordered + plain.filter { $0[0] == Array("checksum".utf8) }, "a query has two readings")
    for program in programs where judge(program, request, at: Timestamp(milliseconds: 1)) == nil {
        checkEvent(of: program, plain.filter { !isSpecial($0[0]) }, head.userAgent.of(bytes), head.referrer.of(bytes))
    }
}

/// The event and the answer are as long as was announced, and carry what the request said.
private func checkEvent(
    of program: RenderedProgram,
    _ parameters: [[[UInt8]]],
    _ userAgent: [UInt8],
    _ referrer: [UInt8]
) {
    let agent = HeaderText(userAgent.span).isText ? userAgent : HeaderText.repaired(userAgent.span)
    let source = HeaderText(referrer.span).isText ? referrer : HeaderText.repaired(referrer.span)
    let address = Array("192.0.2.0".utf8)
    let event = AcceptedEvent(
        program: program,
        messageID: messageIDs.next(at: Timestamp(milliseconds: 1)),
        time: Timestamp(milliseconds: 1),
        userAgent: agent.span,
        referrer: source.span,
        clientAddress: address.span
    )
    let written = filled(event.maximumEventBytes(request)) { _ = event.putEvent(request, to: &$0) }
    var seen: [[[UInt8]]] = []
    var userAgents: [[UInt8]] = []
    var before: UInt64 = 0
    for field in plainFields(written) {
        require(field.number >= before, "the event's fields are out of order")
        before = field.number
        if field.number == 4 { userAgents.append(field.bytes) }
        guard field.number == 11 else { continue }
        let entry = plainFields(field.bytes)
        seen.append([1, 2].map { part in entry.first { $0.number == part }?.bytes ?? [] })
    }
    require(seen == parameters, "the event has other parameters")
    require(userAgents == (agent.isEmpty ? [] : [agent]), "the event has another User-Agent")
    let answer = filled(event.answerBytes) { event.putAnswer(to: &$0) }
    require(answer.count == event.answerBytes, "the answer has \(answer.count) bytes, not \(event.answerBytes)")
    require(String(validating: answer, as: UTF8.self) != nil, "the answer is no UTF-8")
    require(plainString(answer.dropFirst("{\"userAgent\":".utf8.count)) == agent, "the answer has another User-Agent")
}

/// In memory of just this size.
private func filled(_ most: Int, _ body: (inout ByteWriter) -> Void) -> [UInt8] {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: most, alignment: 1)
    defer { memory.deallocate() }
    var writer = ByteWriter(memory)
    body(&writer)
    return Array(memory[..<writer.count])
}

// MARK: Second readings

private func plainDecoding(_ text: some Collection<UInt8>) -> [UInt8]? {
    var rest = Array(text)[...]
    var bytes: [UInt8] = []
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        let digits = rest.prefix(2)
        guard digits.count == 2, digits.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit && $0 < 0x80 }),
            let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
        else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
    let isControl = { (scalar: UnicodeScalar) in scalar.value < 0x20 || 0x7f...0x9f ~= scalar.value }
    return text.unicodeScalars.contains(where: isControl) ? nil : bytes
}

private func plainParameters(_ query: [UInt8]) -> [[[UInt8]]]? {
    guard !query.isEmpty else { return [] }
    var parameters: [[[UInt8]]] = []
    for pair in query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false) {
        let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = plainDecoding(parts[0]), let value = plainDecoding(parts.count == 2 ? parts[1] : []),
            !name.isEmpty, !parameters.contains(where: { $0[0] == name })
        else { return nil }
        parameters.append([name, value])
    }
    let own = parameters.count { $0[0] != Array("type".utf8) && $0[0] != Array("checksum".utf8) }
    return own <= TrackingRequest.maximumParameters ? parameters : nil
}

/// The fields of a protobuf message that has varints and length-delimited fields.
private func plainFields(_ message: [UInt8]) -> [(number: UInt64, bytes: [UInt8])] {
    var rest = message[...]
    func varint() -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = rest.popFirst() {
            value |= UInt64(byte & 0x7f) << shift
            shift += 7
            if byte < 0x80 { return value }
        }
        fatalError("a number of the event has no end")
    }
    var fields: [(number: UInt64, bytes: [UInt8])] = []
    while !rest.isEmpty {
        let tag = varint()
        let value = varint()
        guard tag & 7 == 2 else {
            require(tag & 7 == 0, "another wire type")
            fields.append((tag >> 3, []))
            continue
        }
        require(value <= rest.count, "a field of the event leaves it")
        fields.append((tag >> 3, Array(rest.prefix(Int(value)))))
        rest = rest.dropFirst(Int(value))
    }
    return fields
}

/// A JSON string's content (RFC 8259 section 7).
private func plainString(_ text: some Collection<UInt8>) -> [UInt8] {
    var rest = Array(text)[...]
    require(rest.popFirst() == UInt8(ascii: "\""), "no string")
    var content: [UInt8] = []
    while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
        require(byte >= 0x20, "a control character in a string")
        guard byte == UInt8(ascii: "\\"), let escape = rest.popFirst() else {
            content.append(byte)
            continue
        }
        switch UnicodeScalar(escape) {
        case "u":
            let scalar = UInt32(String(decoding: rest.prefix(4), as: UTF8.self), radix: 16).flatMap(UnicodeScalar.init)
            guard let scalar else { fatalError("an escape that is none") }
            content += Array(String(scalar).utf8)
            rest = rest.dropFirst(4)
        case "t": content.append(0x09)
        default: content.append(escape)
        }
    }
    return content
}
