/// One queue of Amazon SQS in its JSON protocol (Amazon SQS Developer Guide, "Making Query API requests using AWS JSON
/// protocol").
public struct SQSClient: Sendable {
    /// What a message may have, in bytes (Amazon SQS API Reference, SendMessage); a queue may have a lower limit of its own.
    public static let maximumMessageBytes = 1 << 20

    private let client: AWSClient
    /// As AWS names it.
    public let queueURL: String

    public init(_ client: AWSClient, queueURL: String) {
        self.client = client
        self.queueURL = queueURL
    }

    /// Whether the queue keeps an order: its messages need a group and say themselves which are the same.
    private var isOrdered: Bool { self.queueURL.hasSuffix(".fifo") }

    /// - Parameters:
    ///   - body: 1...``maximumMessageBytes`` bytes.
    ///   - identity: the same text is the same message to a FIFO queue, for five minutes; other queues don't look at it.
    /// - Throws: also where the call may have come through and its answer did not.
    public func sendMessage(_ body: [UInt8], identity: String) async throws(AWSCallFailure) {
        var json = BodyBuffer(capacity: body.count + 1024)
        json.append(#"{"QueueUrl":"#)
        json.appendJSONString(self.queueURL)
        json.append(#","MessageBody":"#)
        json.appendJSONString(String(decoding: body, as: UTF8.self))
        if self.isOrdered {
            json.append(#","MessageGroupId":"adtrack","MessageDeduplicationId":"#)
            json.appendJSONString(SHA256.hex(SHA256.digest(identity.utf8)))
        }
        json.append("}")
        switch await self.client.call("AmazonSQS.SendMessage", version: "1.0", RequestBody(json.release())) {
        case .failed(let failure): throw .failed(failure)
        case .answered(let response) where response.status == 200: return
        case .answered(let response):
            guard let error = AWSError(response) else { throw .unreadable(status: response.status) }
            throw .refused(error)
        }
    }
}
