import Logging
import TestSupport

@testable import AWSTransport

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

extension AWSCredentials {
    /// What the stand-ins accept where a test does not say otherwise.
    static let right = AWSCredentials(
        accessKeyID: "AKIDEXAMPLE",
        secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfi:CYEXAMPLEKEY"
    )
}

extension StandIn {
    static let checkingSignatures = [
        "--access-key", AWSCredentials.right.accessKeyID, "--secret-key", AWSCredentials.right.secretAccessKey,
    ]
}

/// A transport that is shut down however `body` returns.
func withTransport<Outcome>(
    _ configuration: TransportConfiguration = TransportConfiguration(),
    isolation: isolated (any Actor)? = #isolation,
    _ body: (Transport) async throws -> Outcome
) async throws -> Outcome {
    let transport = try Transport(configuration)
    let outcome: Result<Outcome, any Error>
    do { outcome = .success(try await body(transport)) } catch { outcome = .failure(error) }
    await transport.shutdown()
    return try outcome.get()
}

/// A stand-in and a client for it.
func withKinesis<Outcome>(
    _ arguments: [String] = [],
    configuration: TransportConfiguration = TransportConfiguration(),
    credentials: AWSCredentials = .right,
    region: String = "us-east-1",
    isolation: isolated (any Actor)? = #isolation,
    _ body: (StandIn, KinesisClient) async throws -> Outcome
) async throws -> Outcome {
    try await StandIn.with("kinesis", arguments) { standIn in
        try await withTransport(configuration) { transport in
            let endpoint = try AWSEndpoint(.kinesis, region: region, endpoint: standIn.url, environment: .init([:]))
            let client = KinesisClient(endpoint, transport, Credentials(credentials, logger: .silent), logger: .silent)
            return try await body(standIn, client)
        }
    }
}

/// As many records as wanted, with keys `prefix-0`, `prefix-1`…
func records(_ count: Int, bytes: Int = 100, prefix: String = "key") -> PutRecordsBody {
    var body = PutRecordsBody()
    for index in 0..<count {
        _ = body.append([UInt8](repeating: UInt8(truncatingIfNeeded: index), count: bytes), "\(prefix)-\(index)")
    }
    return body
}

extension PutRecordsBody {
    mutating func append(_ data: [UInt8], _ key: String) -> Fit {
        data.withUnsafeBytes { data in Array(key.utf8).withUnsafeBytes { self.append(data: data, key: $0) } }
    }
}

extension PutRecordsResult {
    /// The word for it, and for the records where there are any: `delivered`, `throttled`, or the code.
    var words: [String] {
        switch self {
        case .records(let outcomes):
            outcomes.map { outcome in
                switch outcome {
                case .delivered: "delivered"
                case .throttled: "throttled"
                case .failed(let code): code
                }
            }
        case .refused(let error): ["refused \(error.code)"]
        case .notSent(let failure): ["not sent \(failure)"]
        case .unknown: ["unknown"]
        }
    }

    var unknown: Unknown? { if case .unknown(let reason) = self { reason } else { nil } }
    var refusal: AWSError? { if case .refused(let error) = self { error } else { nil } }
    var notSent: TransportFailure? { if case .notSent(let failure) = self { failure } else { nil } }
}

extension AWSAnswer {
    var response: AWSResponse? { if case .answered(let response) = self { response } else { nil } }
    var failure: TransportFailure? { if case .failed(let failure) = self { failure } else { nil } }
}
