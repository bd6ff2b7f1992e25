/// When credentials are fetched, and which are used meanwhile: a value without I/O.
///
/// One fetch runs at a time. Credentials that expire are fetched anew some time before; while that fails they are used
/// until they expire, and attempts keep their distance. All times are seconds since the Unix epoch, all pauses seconds.
struct CredentialCache: Sendable, Equatable {
    enum Action: Sendable, Equatable {
        case use(AWSCredentials)
        /// Use these, and fetch others beside it.
        case useAndFetch(AWSCredentials)
        /// Fetch, and wait for the outcome.
        case fetch
        /// A fetch runs; wait for its outcome.
        case wait
        /// There are none; another attempt is not due yet.
        case fail(CredentialFailure)
    }

    private var held: AWSCredentials?
    /// From when on others are wanted; nil for never.
    private var refreshAt: Int?
    private(set) var isFetching = false
    private var nextAttempt = 0
    private var failures = 0
    private var lastFailure = CredentialFailure("There are no AWS credentials yet.")

    /// Before expiry, for those that live longer than twice that; others are renewed at half of their life.
    static let refreshMargin = 300
    static let backOff = 1...60

    /// Somebody is about to sign.
    mutating func wanted(at now: Int) -> Action {
        let usable = self.held.flatMap { ($0.expiration ?? .max) > now ? $0 : nil }
        guard let usable else { return self.wantedWithoutAny(at: now) }
        guard let refreshAt, refreshAt <= now, !self.isFetching, self.nextAttempt <= now else { return .use(usable) }
        self.isFetching = true
        return .useAndFetch(usable)
    }

    private mutating func wantedWithoutAny(at now: Int) -> Action {
        if self.isFetching { return .wait }
        guard self.nextAttempt <= now else { return .fail(self.lastFailure) }
        self.isFetching = true
        return .fetch
    }

    mutating func fetched(_ credentials: AWSCredentials, at now: Int) {
        self.isFetching = false
        // What is expired, or the same that a service refused, is as good as nothing, but may be all there is.
        let isNew = self.held.map { !$0.signsLike(credentials) } ?? true
        guard (credentials.expiration ?? .max) > now else {
            return self.failed(
                CredentialFailure("The AWS credentials that were given are expired."),
                at: now,
                jitter: 1
            )
        }
        self.held = credentials
        self.failures = isNew ? 0 : min(self.failures + 1, 16)
        self.nextAttempt = now + (isNew ? Self.backOff.lowerBound : self.pause(jitter: 1))
        self.refreshAt = credentials.expiration.map { expiration in
            let life = expiration - now
            return expiration - min(Self.refreshMargin, life / 2)
        }
    }

    /// - Parameter jitter: evenly distributed in 0...1.
    mutating func failed(_ failure: CredentialFailure, at now: Int, jitter: Double) {
        self.isFetching = false
        self.lastFailure = failure
        self.failures = min(self.failures + 1, 16)
        self.nextAttempt = now + self.pause(jitter: jitter)
    }

    /// A service refused these. They stay in use until others are there: the service may be wrong for a while.
    ///
    /// - Returns: whether the caller must fetch now; if not, others are there already, or it is too early.
    mutating func rejected(_ credentials: AWSCredentials, at now: Int) -> Bool {
        guard let held, held.signsLike(credentials), !self.isFetching else { return false }
        self.refreshAt = now
        guard self.nextAttempt <= now else { return false }
        self.isFetching = true
        return true
    }

    /// Doubled with each failure, shortened by up to a half.
    private func pause(jitter: Double) -> Int {
        let doubled = min(Self.backOff.lowerBound << min(max(self.failures - 1, 0), 10), Self.backOff.upperBound)
        return max(Self.backOff.lowerBound, doubled - Int(Double(doubled / 2) * (1 - min(max(jitter, 0), 1))))
    }
}

/// Why there are no credentials: one sentence, without secrets.
public struct CredentialFailure: Error, Sendable, Hashable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
