/// One HTTP request to AWS or to a credentials endpoint.
public struct AWSRequest: Sendable {
    public enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
        case put = "PUT"
    }

    public struct Header: Sendable, Hashable {
        public var name: String
        /// Not empty: libcurl would sign an empty one and not send it.
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public var method: Method
    /// `http` or `https`; nothing else is ever spoken. No query: libcurl does not sort one before it signs.
    public var url: String
    public var headers: [Header] = []
    public var body: RequestBody?
    /// nil sends the request unsigned.
    public var signing: Signing?
    /// Instead of the transport's own, in milliseconds.
    public var totalTimeout: Int?
    /// Instead of the transport's own, in milliseconds.
    public var connectTimeout: Int?
    /// Whether the proxies of the environment are left aside, as for a link-local address.
    public var bypassesProxy = false
    /// Names, in lower case, of the headers that ``AWSResponse/headers`` is to hold.
    public var wantedHeaders: [String] = []

    public init(_ method: Method, _ url: String) {
        self.method = method
        self.url = url
    }
}

/// What a signature (AWS Signature Version 4) is made of.
public struct Signing: Sendable {
    /// The scope: `us-east-1`.
    public var region: String
    /// The scope: `kinesis`.
    public var service: String
    public var credentials: AWSCredentials
    /// What is added to this machine's clock, in seconds.
    public var clockOffset: Int

    public init(region: String, service: String, credentials: AWSCredentials, clockOffset: Int = 0) {
        self.region = region
        self.service = service
        self.credentials = credentials
        self.clockOffset = clockOffset
    }
}

/// What came of a request.
public enum AWSAnswer: Sendable {
    /// A whole answer, whatever its status.
    case answered(AWSResponse)
    case failed(TransportFailure)
}

public struct AWSResponse: Sendable {
    public var status: Int
    /// The headers `date`, `x-amzn-requestid`, `x-amzn-errortype` as they came; empty where absent.
    public var date = ""
    public var requestID = ""
    public var errorType = ""
    /// Those that the request wanted, by their names in lower case.
    public var headers: [String: String] = [:]
    public var body: [UInt8] = []

    public init(status: Int) { self.status = status }
}

/// Why there is no answer: a code to decide by and a sentence for people.
public struct TransportFailure: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: Sendable, Hashable {
        private enum Kind: Sendable {
            case overloaded, stopped, cancelled, unresolved, unreachable, untrusted, timeout, cut, tooLarge, violation
            case credentials, configuration
        }
        private let kind: Kind

        /// Too many requests wait; nothing was sent.
        public static let overloaded = Code(kind: .overloaded)
        /// The transport was stopped.
        public static let stopped = Code(kind: .stopped)
        /// The task that waited was cancelled.
        public static let cancelled = Code(kind: .cancelled)
        /// The host's name has no address.
        public static let unresolved = Code(kind: .unresolved)
        /// No connection could be made.
        public static let unreachable = Code(kind: .unreachable)
        /// The server's certificate is not trusted for this host, or no TLS is spoken there.
        public static let untrusted = Code(kind: .untrusted)
        /// A deadline passed, or bytes came too slowly.
        public static let timeout = Code(kind: .timeout)
        /// The connection ended before the answer did.
        public static let cut = Code(kind: .cut)
        /// The answer is longer than is read.
        public static let tooLarge = Code(kind: .tooLarge)
        /// What came is no HTTP.
        public static let violation = Code(kind: .violation)
        /// There are no credentials to sign with; nothing was sent.
        public static let credentials = Code(kind: .credentials)
        /// The request cannot be expressed; nothing was sent.
        public static let configuration = Code(kind: .configuration)
    }

    public let code: Code
    /// Whether the server may have acted on the request. False is certain, true is not.
    public let mayHaveBeenReceived: Bool
    /// One sentence, without secrets.
    public let description: String

    public init(_ code: Code, mayHaveBeenReceived: Bool = false, _ description: String) {
        self.code = code
        self.mayHaveBeenReceived = mayHaveBeenReceived
        self.description = description
    }

    static let overloaded = TransportFailure(.overloaded, "Too many requests to AWS wait to be sent.")

    static func stopped(mayHaveBeenReceived: Bool) -> TransportFailure {
        TransportFailure(.stopped, mayHaveBeenReceived: mayHaveBeenReceived, "The AWS transport was stopped.")
    }

    static func cancelled(mayHaveBeenReceived: Bool) -> TransportFailure {
        TransportFailure(.cancelled, mayHaveBeenReceived: mayHaveBeenReceived, "The request was cancelled.")
    }
}
