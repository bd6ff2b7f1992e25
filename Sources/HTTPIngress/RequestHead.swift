/// The head of one request (RFC 9112 section 3), as places in the bytes it was read from.
struct RequestHead {
    /// A piece of the bytes. Heads are at most some kilobytes long.
    struct Piece {
        var start = 0
        var end = 0
        var isEmpty: Bool { self.start == self.end }
    }

    enum Method {
        case get
        case head
        /// Known to RFC 9110 or RFC 5789, and none of ours.
        case other
        case unknown
    }

    var method = Method.get
    /// Without the query and, in absolute-form, without scheme and authority.
    var path = Piece()
    var query = Piece()
    var userAgent = Piece()
    var referrer = Piece()
    var pathHasEscapes = false
    var isHTTP10 = false
    var keepsAlive = true
    var announcesBody = false
}

/// Why a head can't be served. The connection closes after the answer: what follows may not be a request.
package enum HeadFault {
    case malformed
    case targetTooLong
    case headTooLarge
    case methodUnknown
    case versionUnsupported
}

/// The bounds of the public port. RFC 9110 section 4.1 asks for at least 8000 octets of target.
public struct HeadLimits: Sendable {
    public var targetBytes = 8 * 1024
    public var headBytes = 16 * 1024
    public var fields = 64

    public init() {}
}
