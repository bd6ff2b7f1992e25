import AWSTransport
import ArgumentParser
import EventStore
import Logging
import StreamSource

/// Streams and tables of AWS behind one transport.
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

    func shutdown() async { await self.transport.shutdown() }

    private func client(_ service: AWSEndpoint.Service, _ address: StreamAddress) throws -> AWSClient {
        try address.allow(["region", "endpoint"])
        let endpoint: AWSEndpoint
        do {
            endpoint = try AWSEndpoint(
                service,
                region: address.options["region"],
                endpoint: address.options["endpoint"]
            )
        } catch {
            throw ValidationError("--\(address.setting) \(address.scheme):\(address.name): \(error)")
        }
        return AWSClient(endpoint, self.transport, self.credentials, logger: self.logger)
    }
}
