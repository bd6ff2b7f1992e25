import Testing

@testable import AWSTransport

/// Regions, partitions and the names by which endpoints are overridden.
struct EndpointTests {
    @Test(arguments: [
        ("us-east-1", "https://kinesis.us-east-1.amazonaws.com/"),
        ("eu-central-1", "https://kinesis.eu-central-1.amazonaws.com/"),
        ("cn-north-1", "https://kinesis.cn-north-1.amazonaws.com.cn/"),
        ("cn-northwest-1", "https://kinesis.cn-northwest-1.amazonaws.com.cn/"),
        ("us-gov-west-1", "https://kinesis.us-gov-west-1.amazonaws.com/"),
        ("us-iso-east-1", "https://kinesis.us-iso-east-1.c2s.ic.gov/"),
        ("us-isob-east-1", "https://kinesis.us-isob-east-1.sc2s.sgov.gov/"),
        ("eu-isoe-west-1", "https://kinesis.eu-isoe-west-1.cloud.adc-e.uk/"),
        ("us-isof-south-1", "https://kinesis.us-isof-south-1.csp.hci.ic.gov/"),
        ("eusc-de-east-1", "https://kinesis.eusc-de-east-1.amazonaws.eu/"),
    ])
    func aRegionHasTheDomainOfItsPartition(region: String, url: String) throws {
        let endpoint = try AWSEndpoint(.kinesis, region: region, environment: .init([:]))
        #expect(endpoint.url == url)
        #expect(endpoint.region == region)
    }

    @Test
    func theSettingComesBeforeTheServicesVariableAndThatBeforeTheGeneralOne() throws {
        let all = [
            "AWS_ENDPOINT_URL": "http://general:1", "AWS_ENDPOINT_URL_KINESIS": "http://kinesis:2",
            "AWS_ENDPOINT_URL_DYNAMODB": "http://dynamodb:3", "AWS_REGION": "us-east-1",
        ]
        let url = { (service: AWSEndpoint.Service, endpoint: String?, variables: [String: String]) in
            try AWSEndpoint(service, endpoint: endpoint, environment: .init(variables)).url
        }
        #expect(try url(.kinesis, "http://setting:4/", all) == "http://setting:4/")
        #expect(try url(.kinesis, nil, all) == "http://kinesis:2/")
        #expect(try url(.dynamodb, nil, all) == "http://dynamodb:3/")
        #expect(
            try url(.kinesis, nil, ["AWS_ENDPOINT_URL": "http://general:1", "AWS_REGION": "r"]) == "http://general:1/"
        )
        #expect(try url(.dynamodb, nil, ["AWS_REGION": "r"]) == "https://dynamodb.r.amazonaws.com/")
    }

    @Test(arguments: [
        ("https://sqs.eu-central-1.amazonaws.com/1/q", "eu-central-1", "https://sqs.eu-central-1.amazonaws.com/"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn/"),
        (
            "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/1/q", "eu-west-1",
            "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/"
        ),
        ("http://127.0.0.1:5000/1/q", "from-environment", "http://127.0.0.1:5000/"),
    ])
    func aQueueNamesItsEndpointAndItsRegion(queue: String, region: String, url: String) throws {
        let endpoint = try AWSEndpoint(queue: queue, environment: .init(["AWS_REGION": "from-environment"]))
        #expect(endpoint.region == region && endpoint.url == url && endpoint.service == .sqs)
        let named = ["AWS_ENDPOINT_URL": "http://general:1", "AWS_REGION": "r"]
        #expect(try AWSEndpoint(queue: queue, environment: .init(named)).url == "http://general:1/")
        let nearer = named.merging(["AWS_ENDPOINT_URL_SQS": "http://sqs:2"]) { $1 }
        #expect(try AWSEndpoint(queue: queue, environment: .init(nearer)).url == "http://sqs:2/")
        let given = try AWSEndpoint(queue: queue, region: "mine", endpoint: "http://h:3", environment: .init(nearer))
        #expect(given.url == "http://h:3/" && given.region == "mine")
    }

    @Test(arguments: ["dead", "https://sqs.r.amazonaws.com/q", "https://sqs.r.amazonaws.com/1/q/x", "ftp://h/1/q"])
    func whatIsNoQueueIsRefused(url: String) {
        #expect(throws: TransportFailure.self) { try AWSEndpoint(queue: url, region: "r", environment: .init([:])) }
    }

    @Test
    func theRegionIsLookedForInThisOrder() throws {
        var variables = ["HOME": "/h", "REGION": "four", "AWS_DEFAULT_REGION": "three", "AWS_REGION": "two"]
        let region = { (region: String?, variables: [String: String]) in
            let environment = AWSEnvironment(variables) { $0 == "/h/.aws/config" ? "[default]\nregion = five\n" : nil }
            return try AWSEndpoint(.kinesis, region: region, environment: environment).region
        }
        #expect(try region("one", variables) == "one")
        #expect(try region(nil, variables) == "two")
        variables["AWS_REGION"] = ""
        #expect(try region(nil, variables) == "three")
        variables["AWS_DEFAULT_REGION"] = nil
        #expect(try region(nil, variables) == "four")
        variables["REGION"] = nil
        #expect(try region(nil, variables) == "five")
        variables["HOME"] = nil
        #expect(throws: TransportFailure.self) { try region(nil, variables) }
    }

    @Test(arguments: ["", "us_east_1", "us-east-1/", "a.b", "-a", "US-EAST-1", "évry", "x:y"])
    func whatIsNoRegionIsRefused(region: String) {
        #expect(throws: TransportFailure.self) { try AWSEndpoint(.kinesis, region: region, environment: .init([:])) }
    }

    @Test(arguments: [
        "localhost:4566", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://x/path", "http://x?y",
        "http://a b",
        "http://user:pw@x", "http://::1:80",
    ])
    func whatIsNoEndpointIsRefused(endpoint: String) {
        #expect(throws: TransportFailure.self) {
            try AWSEndpoint(.kinesis, region: "us-east-1", endpoint: endpoint, environment: .init([:]))
        }
    }

    @Test(arguments: [
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566/"),
        ("HTTPS://Kinesis.Example.COM:443/", "https://kinesis.example.com/"),
        ("http://[::1]:4566/", "http://[::1]:4566/"), ("http://localhost:80", "http://localhost/"),
    ])
    func anEndpointIsWrittenInOneForm(text: String, url: String) throws {
        #expect(try AWSEndpoint(.kinesis, region: "r", endpoint: text, environment: .init([:])).url == url)
    }
}
