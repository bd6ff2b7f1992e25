/// What one listener allows its clients.
public struct IngressConfiguration: Sendable {
    public var head = HeadLimits()
    /// From the first byte of a head to its end, in seconds. Without bodies it bounds the whole request.
    public var headTimeout: Double = 5
    /// An answer that the client leaves unread.
    public var writeTimeout: Double = 10
    /// A connection on which nothing happens.
    public var idleTimeout: Double = 30
    /// What is read and thrown away after the last answer.
    public var lingerTimeout: Double = 2
    /// Answers that may wait for the disk on one connection.
    public var pipelinedAnswers = 64
    public var clientAddress = ClientAddressPolicy.truncated

    public init() {}
}

/// What of the client's address an event keeps.
public enum ClientAddressPolicy: String, CaseIterable, Sendable {
    case none
    /// IPv4 without the last 8 bits, IPv6 without the last 80.
    case truncated
    case full
}
