public import Logging

/// Amazon DynamoDB (API version 2012-08-10): any operation, its request and answer as JSON.
public struct DynamoDBClient: Sendable {
    private let client: AWSClient

    public init(_ client: AWSClient) { self.client = client }

    public init(_ endpoint: AWSEndpoint, _ transport: Transport, _ credentials: Credentials, logger: Logger) {
        self.init(AWSClient(endpoint, transport, credentials, logger: logger))
    }

    /// - Parameters:
    ///   - operation: `PutItem`.
    ///   - json: the request's document.
    public func call(_ operation: String, _ json: RequestBody) async -> AWSAnswer {
        await self.client.call("DynamoDB_20120810.\(operation)", version: "1.0", json)
    }
}
