/// An answer that refuses a call.
public struct AWSError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What to do about it.
    public enum Kind: Sendable, Hashable {
        /// Too much at the moment: later, and less.
        case throttled
        /// The service failed: later.
        case unavailable
        /// The credentials are expired, unknown or sign wrongly: others may do.
        case credentials
        /// The signature's time is not the service's.
        case clock
        /// The credentials are right and may not do this.
        case denied
        /// What the call names does not exist (yet).
        case missing
        /// The call itself is wrong: as it is, it will always be refused.
        case invalid
    }

    public var kind: Kind
    public var status: Int
    /// Without the namespace: `ResourceNotFoundException`.
    public var code: String
    public var message: String
    public var requestID: String

    public var description: String { "AWS answered \(self.status) \(self.code): \(self.message)" }

    /// Whether the same call may succeed later.
    public var isRetryable: Bool { self.kind != .invalid }
    public var isThrottle: Bool { self.kind == .throttled }
    /// Whether another identity, or another clock, is what is needed.
    public var isCredentials: Bool { self.kind == .credentials || self.kind == .clock || self.kind == .denied }
}

extension AWSError {
    /// - Returns: nil where the answer is none of AWS': HTML of a load balancer, or nothing.
    public init?(_ response: AWSResponse) {
        guard response.status >= 300 || response.status < 200 else { return nil }
        var (code, message) = Self.jsonError(response.body) ?? Self.xmlError(response.body) ?? ("", "")
        if !response.errorType.isEmpty { code = response.errorType }
        code = Self.bare(code)
        guard !code.isEmpty else { return nil }
        self.init(
            kind: Kind(code: code, status: response.status),
            status: response.status,
            code: code,
            message: String(message.prefix(500)),
            requestID: response.requestID
        )
    }

    /// AWS JSON 1.0 and 1.1: `__type` or `code`, `message` or `Message`.
    private static func jsonError(_ body: [UInt8]) -> (String, String)? {
        var (code, message) = ("", "")
        var reader = JSONReader(body)
        do {
            try reader.object { reader, key throws(JSONFault) in
                switch key {
                case "__type", "code": code = try reader.optionalString() ?? code
                case "message", "Message": message = try reader.optionalString() ?? message
                default: try reader.skip()
                }
            }
            try reader.end()
        } catch { return nil }
        return (code, message)
    }

    /// Of endpoints that answer in XML whatever was asked: the text of the first `Code` and `Message`.
    private static func xmlError(_ body: [UInt8]) -> (String, String)? {
        guard body.count <= 64 * 1024, let text = String(validating: body, as: UTF8.self) else { return nil }
        guard let code = self.element("Code", of: text) else { return nil }
        return (code, self.element("Message", of: text) ?? "")
    }

    private static func element(_ name: String, of text: String) -> String? {
        let parts = text.split(separator: "<\(name)>", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let end = parts[1].firstIndex(of: "<") else { return nil }
        return String(parts[1][..<end])
    }

    /// `com.amazonaws.kinesis#ExpiredTokenException:http://…` is `ExpiredTokenException`.
    private static func bare(_ code: String) -> String {
        let name = code.split(separator: ":", omittingEmptySubsequences: false).first ?? ""
        return String(String(name.split(separator: "#").last ?? "").prefix(100))
    }
}

extension AWSError.Kind {
    /// Codes of the Kinesis and DynamoDB API references (their errors and "Common Errors"), with and without the ending
    /// `Exception`; for others the status decides.
    init(code: String, status: Int) {
        let name = code.hasSuffix("Exception") ? String(code.dropLast("Exception".count)) : code
        self = Self.known[name] ?? Self.of(status)
    }

    private static let known: [String: Self] = {
        let names: [(Self, String)] = [
            (
                .throttled,
                """
                ProvisionedThroughputExceeded Throttling ThrottledRequest Throttled RequestThrottled LimitExceeded \
                RequestLimitExceeded TooManyRequests KMSThrottling SlowDown BandwidthLimitExceeded
                """
            ),
            (
                .unavailable,
                "InternalFailure InternalServerError InternalServer ServiceUnavailable Unavailable RequestTimeout"
            ),
            (
                .credentials,
                """
                ExpiredToken ExpiredTokenId UnrecognizedClient InvalidClientTokenId InvalidAccessKeyId \
                InvalidSignature SignatureDoesNotMatch IncompleteSignature MissingAuthenticationToken InvalidToken AuthFailure \
                UnknownAccessKeyId
                """
            ),
            (.clock, "RequestTimeTooSkewed RequestExpired RequestInTheFuture"),
            (.denied, "AccessDenied NotAuthorized OptInRequired KMSAccessDenied UnauthorizedOperation"),
            (
                .missing,
                """
                ResourceNotFound ResourceInUse KMSDisabled KMSInvalidState KMSNotFound KMSOptInRequired TableNotFound
                """
            ),
        ]
        var known: [String: Self] = [:]
        for (kind, list) in names { for name in list.split(separator: " ") { known[String(name)] = kind } }
        return known
    }()

    private static func of(_ status: Int) -> Self {
        switch status {
        case 429: .throttled
        case 408: .unavailable
        case 401, 403: .denied
        case 400..<500: .invalid
        default: .unavailable
        }
    }
}
