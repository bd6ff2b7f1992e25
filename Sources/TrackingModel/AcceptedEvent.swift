/// One accepted request on its way out: into the journal as protobuf, and back to the client as JSON.
///
/// It borrows the request's bytes and lives no longer than they do.
public struct AcceptedEvent: ~Copyable, ~Escapable {
    let program: RenderedProgram
    public let messageID: MessageID
    let time: Timestamp
    /// Header values: UTF-8 without control characters other than the tab.
    let userAgent: Span<UInt8>
    let referrer: Span<UInt8>
    let clientAddress: Span<UInt8>
    /// How many bytes longer the User-Agent is as JSON string content.
    private let userAgentEscapes: Int

    private let messageIDText: MessageID.Text

    /// - Parameter looks: the User-Agent, where it was looked at already.
    @_lifetime(copy userAgent, copy referrer, copy clientAddress)
    public init(
        program: RenderedProgram,
        messageID: MessageID,
        time: Timestamp,
        userAgent: Span<UInt8>,
        referrer: Span<UInt8>,
        clientAddress: Span<UInt8>,
        looks: HeaderText? = nil
    ) {
        self.program = program
        self.messageID = messageID
        self.time = time
        self.userAgent = userAgent
        self.referrer = referrer
        self.clientAddress = clientAddress
        self.messageIDText = messageID.text
        let needsEscapes = (looks ?? HeaderText(userAgent)).needsEscapes
        self.userAgentEscapes = needsEscapes ? JSONEscape.extraBytes(of: userAgent) : 0
    }

    // MARK: The answer

    /// Length of the JSON body.
    public var answerBytes: Int {
        Self.answerStart.utf8CodeUnitCount + self.userAgent.count + self.userAgentEscapes
            + Self.answerMembers.utf8CodeUnitCount + self.program.answerMemberBytes
            + Self.answerMessageID.utf8CodeUnitCount + MessageID.textBytes + Self.answerEnd.utf8CodeUnitCount
    }

    public func putAnswer(to bytes: inout ByteWriter) {
        bytes.put(Self.answerStart)
        if self.userAgentEscapes == 0 { bytes.put(self.userAgent) } else { bytes.putEscaped(self.userAgent) }
        bytes.put(Self.answerMembers)
        bytes.put(self.program.answerMembers)
        bytes.put(Self.answerMessageID)
        bytes.put(self.messageIDText)
        bytes.put(Self.answerEnd)
    }

    private static var answerStart: StaticString { "{\"userAgent\":\"" }
    private static var answerMembers: StaticString { "\"," }
    private static var answerMessageID: StaticString { ",\"messageId\":\"" }
    private static var answerEnd: StaticString { "\",\"valid\":true}" }

    // MARK: The event

    /// No event of this request is longer.
    public func maximumEventBytes(_ request: borrowing TrackingRequest) -> Int {
        // A length-delimited field costs at most 1 tag and 5 length bytes, a number 11; a parameter is three of the former.
        self.program.eventBytes + self.userAgent.count + self.referrer.count + self.clientAddress.count
            + request.bytes.count + request.parameters.count * 18 + 128
    }

    /// The bytes of one `TrackingEvent` (Protos/tracking.proto), fields in ascending order.
    /// - Returns: where the message id is in them.
    public func putEvent(_ request: borrowing TrackingRequest, to bytes: inout ByteWriter) -> Range<Int> {
        bytes.put(self.program.eventFront)
        bytes.put(field: 0x22, self.userAgent)
        bytes.put(self.program.eventMiddle)
        bytes.put(0x42)
        bytes.put(UInt8(MessageID.textBytes))
        let idStart = bytes.count
        bytes.put(self.messageIDText)
        let id = idStart..<bytes.count
        if let type = request.type, type != .click {
            bytes.put(0x48)
            bytes.put(type.rawValue)
        }
        bytes.put(0x50)
        bytes.put(varint: UInt64(bitPattern: self.time.milliseconds))
        for index in request.parameters.indices {
            Self.put(parameter: request.name(index), request.value(index), to: &bytes)
        }
        bytes.put(field: 0x62, self.referrer)
        bytes.put(field: 0x6a, self.clientAddress)
        bytes.put(self.program.eventEnd)
        return id
    }

    /// A map entry: a message of key (1) and value (2).
    private static func put(parameter name: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>, to bytes: inout ByteWriter) {
        func fieldBytes(_ text: ArraySlice<UInt8>) -> Int {
            // A length takes seven bits a byte; a target may be configured up to 64 KiB.
            text.isEmpty ? 0 : 1 + (text.count < 0x80 ? 1 : text.count < 0x4000 ? 2 : 3) + text.count
        }
        bytes.put(0x5a)
        bytes.put(varint: UInt64(fieldBytes(name) + fieldBytes(value)))
        bytes.put(field: 0x0a, name.span)
        bytes.put(field: 0x12, value.span)
    }
}
