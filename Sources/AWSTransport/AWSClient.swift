import Glibc
public import Logging
import NIOConcurrencyHelpers

/// Calls of one service in its JSON protocol (AWS JSON 1.0 and 1.1): a `POST /` with the operation in `X-Amz-Target`.
///
/// A call that AWS refuses for its credentials or its clock is sent once more, if there are other credentials then or
/// the clock was corrected; nothing else is repeated here.
public final class AWSClient: Sendable {
    public let endpoint: AWSEndpoint
    private let transport: Transport
    private let credentials: Credentials
    private let clock = NIOLockedValueBox(ClockOffset())
    private let now: @Sendable () -> Int
    private let logger: Logger

    public convenience init(_ endpoint: AWSEndpoint, _ transport: Transport, _ credentials: Credentials, logger: Logger)
    {
        self.init(endpoint, transport, credentials, logger: logger) { time(nil) }
    }

    /// - Parameter now: seconds since the Unix epoch.
    init(
        _ endpoint: AWSEndpoint,
        _ transport: Transport,
        _ credentials: Credentials,
        logger: Logger,
        now: @escaping @Sendable () -> Int
    ) {
        self.endpoint = endpoint
        self.transport = transport
        self.credentials = credentials
        self.logger = logger
        self.now = now
    }

    /// - Parameters:
    ///   - target: the API's version and the operation: `Kinesis_20131202.PutRecords`.
    ///   - version: of AWS JSON: `1.1` for Kinesis, `1.0` for DynamoDB and SQS.
    public func call(_ target: String, version: String, _ body: RequestBody) async -> AWSAnswer {
        let (answer, mayRepeat) = await self.attempt(target, version, body)
        guard mayRepeat, !Task.isCancelled else { return answer }
        return await self.attempt(target, version, body).answer
    }

    private func attempt(
        _ target: String,
        _ version: String,
        _ body: RequestBody
    ) async -> (answer: AWSAnswer, mayRepeat: Bool) {
        let credentials: AWSCredentials
        do { credentials = try await self.credentials.current() } catch {
            return (.failed(TransportFailure(.credentials, error.description)), false)
        }
        var request = AWSRequest(.post, self.endpoint.url)
        request.headers = [.init("Content-Type", "application/x-amz-json-\(version)"), .init("X-Amz-Target", target)]
        request.body = body
        request.bypassesProxy = self.endpoint.isLoopback
        request.signing = Signing(
            region: self.endpoint.region,
            service: self.endpoint.service.rawValue,
            credentials: credentials,
            clockOffset: self.clock.withLockedValue(\.seconds)
        )
        let answer = await self.transport.perform(request)
        guard case .answered(let response) = answer else { return (answer, false) }
        return (answer, await self.learn(from: response, signedBy: credentials))
    }

    /// - Returns: whether the request is worth another attempt at once.
    private func learn(from response: AWSResponse, signedBy credentials: AWSCredentials) async -> Bool {
        let kind = response.status < 300 ? nil : AWSError(response)?.kind
        let isRefusedSignature = kind == .clock || kind == .credentials
        if self.correctClock(by: response, isRefusedSignature: isRefusedSignature) { return isRefusedSignature }
        guard kind == .credentials else { return false }
        return await self.credentials.rejected(credentials)
    }

    private func correctClock(by response: AWSResponse, isRefusedSignature: Bool) -> Bool {
        guard let date = ClockOffset.seconds(ofHTTPDate: response.date) else { return false }
        let (isChanged, seconds) = self.clock.withLockedValue { clock in
            (clock.received(date: date, now: self.now(), isRefusedSignature: isRefusedSignature), clock.seconds)
        }
        if isChanged {
            self.logger.warning("This machine's clock is not that of AWS", metadata: ["offset-seconds": "\(seconds)"])
        }
        return isChanged
    }
}
