/// An answer of one of the small routes, or a refusal: everything but the accepted event's.
public struct Answer: Sendable {
    public var status: Int
    public var contentType: String
    public var body: [UInt8]
    /// Further header fields.
    public var fields: [(name: String, value: String)]

    public init(
        status: Int,
        contentType: String = "application/json",
        body: [UInt8],
        fields: [(name: String, value: String)] = []
    ) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.fields = fields
    }

    /// The reason phrases of RFC 9110 section 15 for the statuses we send.
    static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 410: "Gone"
        case 414: "URI Too Long"
        case 422: "Unprocessable Content"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Internal Server Error"
        }
    }
}
