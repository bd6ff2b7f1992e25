import AWSTransport
import ArgumentParser
import EventStore
import Logging
import StreamSource

/// Streams, tables and queues of AWS behind one transport.
struct AWSServices {
    private let transport: Transport
    private let credentials: Credentials
    private let logger: Logger

    init(logger: Logger) throws {
        do {
            self.transport = try Transport(TransportConfiguration(.process))
        } catch {
            throw StartError("libcurl can't be used: \(error)")
        }
        self.credentials = Credentials(self.transport, logger: logger)
        self.logger = logger
    }

    func kinesis(_ address: StreamAddress) throws -> KinesisCalls {
        KinesisCalls(KinesisClient(try self.client(.kinesis, address)), stream: address.name)
    }

    func dynamoDB(_ address: StreamAddress) throws -> DynamoDBCalls {
        DynamoDBCalls(DynamoDBClient(try self.client(.dynamodb, address)))
    }

    func queue(_ address: StreamAddress) throws -> SQSClient {
        let endpoint = try Self.endpoint(ofQueue: address)
        return SQSClient(self.client(endpoint), queueURL: address.name)
    }

    func shutdown() async { await self.transport.shutdown() }

    private func client(_ service: AWSEndpoint.Service, _ address: StreamAddress) throws -> AWSClient {
        try address.allow(["region", "endpoint"])
        let endpoint = try Self.endpoint(address) { region, endpoint throws(TransportFailure) in
            try AWSEndpoint(service, region: region, endpoint: endpoint)
        }
        return self.client(endpoint)
    }

    private func client(_ endpoint: AWSEndpoint) -> AWSClient {
        AWSClient(endpoint, self.transport, self.credentials, logger: self.logger)
    }

    /// - Throws: where it is none, or nobody knows its region: one sentence.
    static func endpoint(ofQueue address: StreamAddress) throws -> AWSEndpoint {
        try address.allow(["region", "endpoint"])
        return try self.endpoint(address) { region, endpoint throws(TransportFailure) in
            try AWSEndpoint(queue: address.name, region: region, endpoint: endpoint)
        }
    }

    private static func endpoint(
        _ address: StreamAddress,
        _ make: (_ region: String?, _ endpoint: String?) throws(TransportFailure) -> AWSEndpoint
    ) throws -> AWSEndpoint {
        do {
            return try make(address.options["region"], address.options["endpoint"])
        } catch {
            throw ValidationError("--\(address.setting) \(address.scheme):\(address.name): \(error)")
        }
    }
}
