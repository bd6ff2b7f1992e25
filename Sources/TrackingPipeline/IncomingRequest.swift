public import TrackingModel

/// A tracking request as the pipeline sees it: views of the bytes it arrived in.
public struct IncomingRequest: ~Copyable, ~Escapable {
    /// Percent-decoded; not yet known to be an id.
    public let programID: Span<UInt8>
    /// As it was sent, without the question mark.
    public let query: Span<UInt8>
    /// Empty where the header is missing.
    public let userAgent: Span<UInt8>
    public let referrer: Span<UInt8>
    /// As the privacy policy leaves it.
    public let clientAddress: Span<UInt8>

    @_lifetime(copy programID, copy query, copy userAgent, copy referrer, copy clientAddress)
    public init(
        programID: Span<UInt8>,
        query: Span<UInt8>,
        userAgent: Span<UInt8>,
        referrer: Span<UInt8>,
        clientAddress: Span<UInt8>
    ) {
        self.programID = programID
        self.query = query
        self.userAgent = userAgent
        self.referrer = referrer
        self.clientAddress = clientAddress
    }
}

/// One reading of both clocks, shared by all requests that arrived together.
public struct Moment: Sendable {
    /// Nanoseconds of the monotonic clock: for everything that lasts.
    public let monotonic: UInt64
    /// For what people wrote down: `validFrom`, `validUntil`, the event's time.
    public let wall: Timestamp

    public init(monotonic: UInt64, wall: Timestamp) {
        self.monotonic = monotonic
        self.wall = wall
    }
}
