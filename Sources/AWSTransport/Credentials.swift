import Glibc
public import Logging
import NIOConcurrencyHelpers

/// The credentials in use: fetched when first wanted, renewed before they expire, one fetch at a time.
public final class Credentials: Sendable {
    private struct State {
        var cache = CredentialCache()
        var waiters: [CheckedContinuation<Void, Never>] = []
        var isFailing = false
    }

    private let state = NIOLockedValueBox(State())
    private let fetch: @Sendable () async -> Result<AWSCredentials, CredentialFailure>
    private let now: @Sendable () -> Int
    private let logger: Logger

    /// In the order of the SDKs: environment, shared files, container endpoint, instance metadata.
    public convenience init(
        _ transport: Transport,
        environment: AWSEnvironment = .process,
        logger: Logger
    ) {
        let chain = CredentialChain(transport: transport, environment: environment)
        self.init(logger: logger) { await chain.fetch() }
    }

    /// - Parameter now: seconds since the Unix epoch.
    init(
        logger: Logger,
        now: @escaping @Sendable () -> Int = { time(nil) },
        fetch: @escaping @Sendable () async -> Result<AWSCredentials, CredentialFailure>
    ) {
        self.logger = logger
        self.now = now
        self.fetch = fetch
    }

    /// Always the same ones.
    public convenience init(_ fixed: AWSCredentials, logger: Logger) {
        self.init(logger: logger) { .success(fixed) }
    }

    func current() async throws(CredentialFailure) -> AWSCredentials {
        while true {
            switch self.state.withLockedValue({ $0.cache.wanted(at: self.now()) }) {
            case .use(let credentials): return credentials
            case .useAndFetch(let credentials):
                Task { await self.renew() }
                return credentials
            case .fetch: await self.fetchUncancelled()
            case .wait: await self.fetchEnds()
            case .fail(let failure): throw failure
            }
        }
    }

    /// A service refused these.
    ///
    /// - Returns: whether others are there now.
    func rejected(_ credentials: AWSCredentials) async -> Bool {
        if self.state.withLockedValue({ $0.cache.rejected(credentials, at: self.now()) }) {
            await self.fetchUncancelled()
        }
        let current = try? await self.current()
        return current.map { !$0.signsLike(credentials) } ?? false
    }

    /// In a task of its own: whoever waits may be cancelled, the others want the credentials still.
    private func fetchUncancelled() async { await Task { await self.renew() }.value }

    private func renew() async {
        let outcome = await self.fetch()
        let (waiters, wasFailing) = self.state.withLockedValue { state in
            switch outcome {
            case .success(let credentials): state.cache.fetched(credentials, at: self.now())
            case .failure(let failure): state.cache.failed(failure, at: self.now(), jitter: .random(in: 0...1))
            }
            defer {
                state.waiters = []
                if case .failure = outcome { state.isFailing = true } else { state.isFailing = false }
            }
            return (state.waiters, state.isFailing)
        }
        for waiter in waiters { waiter.resume() }
        self.log(outcome, wasFailing: wasFailing)
    }

    private func log(_ outcome: Result<AWSCredentials, CredentialFailure>, wasFailing: Bool) {
        switch outcome {
        case .success where wasFailing: self.logger.notice("AWS credentials can be fetched again")
        case .success: self.logger.debug("AWS credentials fetched")
        case .failure(let failure) where !wasFailing:
            self.logger.warning("AWS credentials cannot be fetched", metadata: ["reason": "\(failure)"])
        case .failure(let failure):
            self.logger.debug("AWS credentials still cannot be fetched", metadata: ["reason": "\(failure)"])
        }
    }

    private func fetchEnds() async {
        await withCheckedContinuation { continuation in
            let isOver = self.state.withLockedValue { state in
                guard state.cache.isFetching else { return true }
                state.waiters.append(continuation)
                return false
            }
            if isOver { continuation.resume() }
        }
    }
}
