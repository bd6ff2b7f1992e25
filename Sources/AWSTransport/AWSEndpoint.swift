/// Where a service is, and the region of the signature's scope.
public struct AWSEndpoint: Sendable, Hashable, CustomStringConvertible {
    public enum Service: String, Sendable {
        case kinesis
        case dynamodb
        case sqs

        /// `AWS_ENDPOINT_URL_KINESIS` (AWS SDKs and Tools Reference Guide, "Service-specific endpoints").
        var endpointVariable: String { "AWS_ENDPOINT_URL_\(self.rawValue.uppercased())" }
    }

    public let service: Service
    public let region: String
    /// `https://kinesis.eu-central-1.amazonaws.com/`.
    public let url: String

    public var description: String { self.url }

    /// Whether the machine itself is meant, as in tests.
    var isLoopback: Bool { HTTPAddress(self.url)?.isLoopback ?? false }

    /// - Parameters:
    ///   - region: `region=` of a setting; where absent the environment's, then the profile's.
    ///   - endpoint: `endpoint=` of a setting; where absent the environment's, then AWS' own for the region.
    /// - Throws: ``TransportFailure`` with `configuration` and a sentence that says what to do.
    public init(
        _ service: Service,
        region: String? = nil,
        endpoint: String? = nil,
        environment: AWSEnvironment = .process
    ) throws(TransportFailure) {
        guard let region = region ?? environment.region else {
            throw TransportFailure(
                .configuration,
                "No AWS region is known: name one with region=… beside the stream, table or queue, or in AWS_REGION."
            )
        }
        // It becomes a part of a host name and of the signature's scope.
        let isPlain = region.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
        guard isPlain, !region.isEmpty, region.utf8.count <= 64, region.first != "-", region.last != "-" else {
            throw TransportFailure(.configuration, "\"\(region)\" is no AWS region; one is called eu-central-1.")
        }
        self.service = service
        self.region = region
        self.url = try Self.url(of: service, region, endpoint, environment)
    }

    private static func url(
        of service: Service,
        _ region: String,
        _ endpoint: String?,
        _ environment: AWSEnvironment
    ) throws(TransportFailure) -> String {
        guard let text = endpoint ?? environment[service.endpointVariable] ?? environment["AWS_ENDPOINT_URL"] else {
            return "https://\(service.rawValue).\(region).\(self.domain(of: region))/"
        }
        guard let address = HTTPAddress(text), address.path == "/" else {
            throw TransportFailure(
                .configuration,
                "\"\(text)\" is no AWS endpoint; one is http://host:port or https://host, without a path."
            )
        }
        return "\(address.origin)/"
    }

    /// The partition's DNS suffix (AWS' partition metadata, `partitions.json` of the SDKs).
    static func domain(of region: String) -> String {
        let suffixes = [
            ("cn-", "amazonaws.com.cn"), ("us-isob-", "sc2s.sgov.gov"), ("us-isof-", "csp.hci.ic.gov"),
            ("eu-isoe-", "cloud.adc-e.uk"), ("us-iso-", "c2s.ic.gov"), ("eusc-", "amazonaws.eu"),
        ]
        return suffixes.first { region.hasPrefix($0.0) }?.1 ?? "amazonaws.com"
    }
}

/// Queues, which are named by an address.
extension AWSEndpoint {
    /// Where a queue's calls go: to its URL's own host, unless a setting or the environment names another one.
    ///
    /// - Parameters:
    ///   - url: as AWS names queues: `https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters`.
    ///   - region: where absent the one that the URL names, then the environment's.
    public init(
        queue url: String,
        region: String? = nil,
        endpoint: String? = nil,
        environment: AWSEnvironment = .process
    ) throws(TransportFailure) {
        guard let address = HTTPAddress(url), address.path.split(separator: "/").count == 2 else {
            throw TransportFailure(
                .configuration,
                "\"\(url)\" is no queue; one is https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters."
            )
        }
        let named = endpoint ?? environment[Service.sqs.endpointVariable] ?? environment["AWS_ENDPOINT_URL"]
        let region = region ?? Self.region(ofQueueHost: address.host)
        try self.init(.sqs, region: region, endpoint: named ?? address.origin, environment: environment)
    }

    /// The label after `sqs`, also where the host is a VPC endpoint's; nil where AWS is not named.
    private static func region(ofQueueHost host: String) -> String? {
        let labels = host.split(separator: ".").map(String.init)
        guard let place = labels.firstIndex(of: "sqs"), labels.count > place + 3 else { return nil }
        return labels[place + 1]
    }
}
