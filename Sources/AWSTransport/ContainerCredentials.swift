/// ECS, Fargate and EKS Pod Identity (AWS SDKs and Tools Reference Guide, "Container credential provider").
struct ContainerCredentials: Sendable {
    let transport: Transport
    let environment: AWSEnvironment

    /// - Returns: nil where the environment names no such endpoint.
    func fetch() async -> Result<AWSCredentials, CredentialFailure>? {
        let relative = self.environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
        guard
            let url = relative.map({ "http://169.254.170.2\($0)" })
                ?? self.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        else { return nil }
        guard Self.mayBeAsked(url) else {
            return .failure(
                CredentialFailure(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine or to 169.254.170.2, "
                        + "169.254.170.23 or fd00:ec2::23."
                )
            )
        }
        var request = AWSRequest(.get, url)
        request.bypassesProxy = true
        request.connectTimeout = 1_000
        request.totalTimeout = 3_000
        switch self.authorization() {
        case .success(let token): if let token { request.headers.append(.init("Authorization", token)) }
        case .failure(let failure): return .failure(failure)
        }
        return await CredentialEndpoint.ask(self.transport, request, "container").flatMap {
            CredentialDocument.read($0.body)
        }
    }

    /// The hosts that may be asked without encryption: the authorization must not leave the machine by a wrong setting.
    static func mayBeAsked(_ url: String) -> Bool {
        // A query is allowed here: it is not signed.
        guard let address = HTTPAddress(String(url.prefix { $0 != "?" })) else { return false }
        return address.isEncrypted || address.isLoopback
            || ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"].contains(address.host)
    }

    /// The file is read for each request: its content is renewed.
    private func authorization() -> Result<String?, CredentialFailure> {
        guard let path = self.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] else {
            return .success(self.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
        }
        guard let text = self.environment.readFile(path) else {
            return .failure(
                CredentialFailure("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names a file that cannot be read.")
            )
        }
        let token = String(text.reversed().drop(while: \.isWhitespace).reversed())
        return .success(token.isEmpty ? nil : token)
    }
}

/// A request to an endpoint that gives credentials.
enum CredentialEndpoint {
    /// - Parameter place: for the sentence of a failure.
    static func ask(
        _ transport: Transport,
        _ request: AWSRequest,
        _ place: String
    ) async -> Result<AWSResponse, CredentialFailure> {
        switch await transport.perform(request) {
        case .failed(let failure):
            .failure(CredentialFailure("The credentials endpoint of the \(place) does not answer: \(failure)"))
        case .answered(let response) where response.status == 200: .success(response)
        case .answered(let response):
            .failure(CredentialFailure("The credentials endpoint of the \(place) answered \(response.status)."))
        }
    }
}
