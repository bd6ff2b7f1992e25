public import Logging

/// Amazon Kinesis Data Streams (API version 2013-12-02).
public struct KinesisClient: Sendable {
    let client: AWSClient

    public init(_ client: AWSClient) { self.client = client }

    public init(_ endpoint: AWSEndpoint, _ transport: Transport, _ credentials: Credentials, logger: Logger) {
        self.init(AWSClient(endpoint, transport, credentials, logger: logger))
    }

    func call(_ operation: String, _ body: RequestBody) async -> AWSAnswer {
        await self.client.call("Kinesis_20131202.\(operation)", version: "1.1", body)
    }

    /// Sends the records, once, and says what became of each.
    ///
    /// - Parameter stream: its name or its ARN.
    public func putRecords(_ stream: String, _ records: consuming PutRecordsBody) async -> PutRecordsResult {
        guard records.count > 0 else { return .records([]) }
        let sealed = records.seal(stream: stream)
        return Self.result(of: await self.call("PutRecords", sealed.body), records: sealed.count)
    }

    static func result(of answer: AWSAnswer, records: Int) -> PutRecordsResult {
        switch answer {
        case .failed(let failure):
            return failure.mayHaveBeenReceived ? .unknown(.failed(failure)) : .notSent(failure)
        case .answered(let response) where response.status == 200:
            return PutRecordsAnswer.read(response.body, expected: records)
        case .answered(let response):
            guard let error = AWSError(response) else { return .unknown(.unreadable(status: response.status)) }
            return response.status >= 500 && !error.isThrottle ? .unknown(.serverError(error)) : .refused(error)
        }
    }
}
