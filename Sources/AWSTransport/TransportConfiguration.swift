/// Every bound and deadline of the transport.
public struct TransportConfiguration: Sendable {
    /// Requests under way at once; also the most connections that are kept.
    public var maximumInFlight = 16
    /// Requests that wait for one of those places; the next is refused as `overloaded`, at once.
    public var maximumWaiting = 64
    /// To the open connection, TLS included: milliseconds.
    public var connectTimeout = 2_000
    /// From the start of a transfer to the end of its answer: milliseconds.
    public var totalTimeout = 10_000
    /// Fewer bytes a second than this, for ``lowSpeedSeconds``, end a transfer. A server that thinks sends none, so
    /// this is also the longest that an answer may take to begin.
    public var lowSpeedBytes = 100
    public var lowSpeedSeconds = 6
    /// The body of an answer. `GetRecords` gives at most 10 MiB of data, which base64 makes 13.4 MiB.
    public var maximumAnswerBytes = 16 * 1024 * 1024
    /// A connection that was idle for longer is not used again: seconds. Below the time after which AWS closes one, so
    /// that a request rarely meets its end.
    public var maximumIdleSeconds = 20
    /// PEM file of the authorities to trust instead of the system's (`AWS_CA_BUNDLE` of the SDKs).
    public var certificateAuthority: String?

    /// Steps of nice(2) by which the thread that builds, signs and sends gives way to others: 0 to 19.
    public var niceness: CInt = 0

    public init() {}

    /// With what the environment says: `AWS_CA_BUNDLE`.
    public init(_ environment: AWSEnvironment) { self.certificateAuthority = environment["AWS_CA_BUNDLE"] }
}
