/// Who signs. Shows itself in no description.
public struct AWSCredentials: Sendable, Hashable {
    public var accessKeyID: String
    public var secretAccessKey: String
    /// Of temporary credentials; sent and signed as `X-Amz-Security-Token`.
    public var sessionToken: String?
    /// Seconds since the Unix epoch; nil for those that do not expire.
    public var expiration: Int?

    public init(accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil, expiration: Int? = nil) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.expiration = expiration
    }

    /// Whether a service sees the same in both.
    func signsLike(_ other: AWSCredentials) -> Bool {
        self.accessKeyID == other.accessKeyID && self.secretAccessKey == other.secretAccessKey
            && self.sessionToken == other.sessionToken
    }
}

extension AWSCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "(hidden)" }
    public var debugDescription: String { "(hidden)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
