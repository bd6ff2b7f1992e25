public import NIOCore

/// One reply of Redis in RESP2; byte strings are slices of one buffer that belongs to this reply alone.
public enum RESPValue: Sendable, Hashable {
    case status(ByteBuffer)
    /// An error answer, for example `WRONGTYPE Operation against a key holding the wrong kind of value`.
    case error(String)
    case integer(Int64)
    case bulk(ByteBuffer)
    case null
    case array(RESPArray)

    /// The bytes of a bulk string or a status.
    public var bytes: ByteBuffer? {
        switch self {
        case .bulk(let buffer), .status(let buffer): buffer
        default: nil
        }
    }

    /// The bytes as text; bytes that are no UTF-8 become replacement characters.
    public var text: String? {
        bytes.map { String(buffer: $0) }
    }

    public var elements: RESPArray? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The answer `OK`.
    public var isOK: Bool {
        if case .status(let buffer) = self { buffer.readableBytesView.elementsEqual("OK".utf8) } else { false }
    }

    /// The text of an error answer.
    public var errorText: String? {
        if case .error(let text) = self { text } else { nil }
    }

    /// Calls `body` with each field and value of an `HGETALL` reply, in Redis' order.
    ///
    /// - Returns: false, at the first element that fits not, if this is no list of string pairs.
    public func forEachPair<Failure: Error>(
        _ body: (_ field: Span<UInt8>, _ value: Span<UInt8>) throws(Failure) -> Void
    ) throws(Failure) -> Bool {
        guard case .array(let elements) = self else { return false }
        return try elements.forEachPair(body)
    }
}
