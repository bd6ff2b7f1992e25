import Glibc

/// Where credentials come from: the sources in the order of the SDKs; the first that is there decides.
struct CredentialChain: Sendable {
    let transport: Transport
    let environment: AWSEnvironment

    func fetch() async -> Result<AWSCredentials, CredentialFailure> {
        if let found = self.fromVariables() { return found }
        if let found = self.fromProfile() { return found }
        if let found = await ContainerCredentials(transport: self.transport, environment: self.environment).fetch() {
            return found
        }
        if let found = await InstanceCredentials(transport: self.transport, environment: self.environment).fetch() {
            return found
        }
        return .failure(
            CredentialFailure(
                "No AWS credentials were found in the environment, the shared files, a container or an instance."
            )
        )
    }

    private func fromVariables() -> Result<AWSCredentials, CredentialFailure>? {
        guard let id = self.environment["AWS_ACCESS_KEY_ID"] else { return nil }
        guard let secret = self.environment["AWS_SECRET_ACCESS_KEY"] else {
            return .failure(CredentialFailure("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not."))
        }
        return .success(
            AWSCredentials(
                accessKeyID: id,
                secretAccessKey: secret,
                sessionToken: self.environment["AWS_SESSION_TOKEN"]
            )
        )
    }

    /// The files are read anew each time, so that another tool may renew what they hold.
    private func fromProfile() -> Result<AWSCredentials, CredentialFailure>? {
        let profile = self.environment.profile
        let (id, secret) = (profile["aws_access_key_id"] ?? "", profile["aws_secret_access_key"] ?? "")
        guard !id.isEmpty, !secret.isEmpty else {
            guard self.environment.namesProfile || !id.isEmpty else { return nil }
            return .failure(
                CredentialFailure("The AWS profile \"\(self.environment.profileName)\" has no access key and secret.")
            )
        }
        let token = profile["aws_session_token"] ?? ""
        return .success(
            AWSCredentials(accessKeyID: id, secretAccessKey: secret, sessionToken: token.isEmpty ? nil : token)
        )
    }
}

/// What container and instance endpoints answer.
struct CredentialDocument {
    private var code: String?
    private var id: String?
    private var secret: String?
    private var token: String?
    private var expiration: String?

    static func read(_ body: [UInt8]) -> Result<AWSCredentials, CredentialFailure> {
        var document = CredentialDocument()
        do { try document.readObject(body) } catch {
            return .failure(CredentialFailure("What the credentials endpoint answered is not the JSON it should be."))
        }
        return document.credentials
    }

    private mutating func readObject(_ body: [UInt8]) throws(JSONFault) {
        var reader = JSONReader(body)
        try reader.object { reader, key throws(JSONFault) in
            switch key {
            case "Code": self.code = try reader.optionalString()
            case "AccessKeyId": self.id = try reader.optionalString()
            case "SecretAccessKey": self.secret = try reader.optionalString()
            case "Token": self.token = try reader.optionalString()
            case "Expiration": self.expiration = try reader.optionalString()
            default: try reader.skip()
            }
        }
        try reader.end()
    }

    private var credentials: Result<AWSCredentials, CredentialFailure> {
        if let code, code != "Success" {
            return .failure(CredentialFailure("The credentials endpoint answered the code \(code.prefix(60))."))
        }
        guard let id, let secret, !id.isEmpty, !secret.isEmpty else {
            return .failure(CredentialFailure("The credentials endpoint answered without a key and secret."))
        }
        var credentials = AWSCredentials(accessKeyID: id, secretAccessKey: secret)
        credentials.sessionToken = self.token.flatMap { $0.isEmpty ? nil : $0 }
        if let expiration {
            guard let seconds = ISOTime.seconds(expiration) else {
                return .failure(CredentialFailure("The credentials endpoint answered an expiration that is no time."))
            }
            credentials.expiration = seconds
        }
        return .success(credentials)
    }
}

/// RFC 3339, as AWS writes it: in UTC, with or without a fraction.
enum ISOTime {
    private static let form = Array("0000-00-00T00:00:00".utf8)

    /// Seconds since the Unix epoch.
    static func seconds(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard bytes.count > self.form.count, zip(bytes, self.form).allSatisfy(self.fits) else { return nil }
        var rest = bytes[self.form.count...]
        if rest.first == UInt8(ascii: ".") { rest = rest.dropFirst().drop { self.fits($0, UInt8(ascii: "0")) } }
        guard rest.elementsEqual("Z".utf8) || rest.elementsEqual("+00:00".utf8) else { return nil }
        let number = { (start: Int, count: Int) in
            bytes[start..<(start + count)].reduce(Int32(0)) { $0 * 10 + Int32($1 - UInt8(ascii: "0")) }
        }
        var parts = tm()
        parts.tm_year = number(0, 4) - 1900
        parts.tm_mon = number(5, 2) - 1
        parts.tm_mday = number(8, 2)
        parts.tm_hour = number(11, 2)
        parts.tm_min = number(14, 2)
        parts.tm_sec = number(17, 2)
        return timegm(&parts)
    }

    private static func fits(_ byte: UInt8, _ form: UInt8) -> Bool {
        form == UInt8(ascii: "0") ? (form...UInt8(ascii: "9")).contains(byte) : byte == form
    }
}
