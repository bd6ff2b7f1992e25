/// The role of an EC2 instance through its metadata service, version 2 (EC2 User Guide, "Retrieve instance metadata"):
/// a token first, then the role's name, then its credentials. Version 1, without a token, is never asked.
struct InstanceCredentials: Sendable {
    let transport: Transport
    let environment: AWSEnvironment

    /// Six hours, the most there is; a token is fetched for each renewal all the same.
    private static let tokenSeconds = "21600"
    private static let role = "latest/meta-data/iam/security-credentials/"

    /// - Returns: nil where instance metadata is switched off.
    func fetch() async -> Result<AWSCredentials, CredentialFailure>? {
        if self.environment.isTrue("AWS_EC2_METADATA_DISABLED") { return nil }
        guard let base = HTTPAddress(self.endpoint) else {
            return .failure(CredentialFailure("AWS_EC2_METADATA_SERVICE_ENDPOINT is no http address."))
        }
        let url = base.origin + (base.path.hasSuffix("/") ? base.path : base.path + "/")
        return await self.fetch(url)
    }

    private var endpoint: String {
        if let endpoint = self.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] { return endpoint }
        let isIPv6 = self.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]?.lowercased() == "ipv6"
        return isIPv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254"
    }

    private func fetch(_ url: String) async -> Result<AWSCredentials, CredentialFailure> {
        var request = self.request(.put, url + "latest/api/token")
        request.headers = [.init("X-aws-ec2-metadata-token-ttl-seconds", Self.tokenSeconds)]
        let token: String
        switch await self.text(request) {
        case .success(let text): token = text
        case .failure(let failure): return .failure(failure)
        }
        let authorization = AWSRequest.Header("X-aws-ec2-metadata-token", token)
        request = self.request(.get, url + Self.role)
        request.headers = [authorization]
        let role: String
        switch await self.text(request) {
        case .success(let text): role = text
        case .failure(let failure): return .failure(failure)
        }
        request = self.request(.get, url + Self.role + role)
        request.headers = [authorization]
        return await CredentialEndpoint.ask(self.transport, request, "instance").flatMap {
            CredentialDocument.read($0.body)
        }
    }

    private func request(_ method: AWSRequest.Method, _ url: String) -> AWSRequest {
        var request = AWSRequest(method, url)
        request.bypassesProxy = true
        request.connectTimeout = 1_000
        request.totalTimeout = 2_000
        return request
    }

    /// The first line of an answer; it goes into a header or an address.
    private func text(_ request: AWSRequest) async -> Result<String, CredentialFailure> {
        await CredentialEndpoint.ask(self.transport, request, "instance").flatMap { response in
            let line = response.body.prefix { $0 > 0x20 && $0 < 0x7f }
            let text = String(decoding: line, as: UTF8.self)
            return text.isEmpty
                ? .failure(CredentialFailure("The credentials endpoint of the instance answered nothing."))
                : .success(text)
        }
    }
}
