import Foundation
import Synchronization
import TestSupport
import Testing

@testable import AWSTransport

/// Where credentials are looked for, and in which order.
@Suite(.timeLimit(.minutes(1)))
struct CredentialSourceTests {
    private static let none = ["AWS_EC2_METADATA_DISABLED": "true", "HOME": "/home/nobody"]

    private func fetch(
        _ variables: [String: String],
        files: [String: String] = [:]
    ) async throws -> Result<AWSCredentials, CredentialFailure> {
        try await withTransport { transport in
            let environment = AWSEnvironment(Self.none.merging(variables) { $1 }) { files[$0] }
            return await CredentialChain(transport: transport, environment: environment).fetch()
        }
    }

    private static let files = [
        "/home/nobody/.aws/credentials": """
        # a comment
        [default]
        aws_access_key_id = DEFAULT
        aws_secret_access_key=default/secret=
        [ other ]
        aws_access_key_id = OTHER
        aws_secret_access_key = other
        aws_session_token = token
        s3 =
          aws_access_key_id = NESTED
        [half]
        aws_access_key_id = HALF
        """,
        "/home/nobody/.aws/config": """
        [default]
        region = eu-west-1
        [profile other]
        region=cn-north-1
        [profile inconfig]
        aws_access_key_id = INCONFIG
        aws_secret_access_key = s
        """,
        "/elsewhere": "[default]\naws_access_key_id = ELSEWHERE\naws_secret_access_key = s",
    ]

    @Test
    func theEnvironmentComesBeforeTheFiles() async throws {
        let variables = ["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"]
        let found = try await self.fetch(variables, files: Self.files)
        #expect(found == .success(AWSCredentials(accessKeyID: "ENV", secretAccessKey: "s", sessionToken: "t")))
    }

    @Test
    func aProfileIsChosenByName() async throws {
        let found = try await self.fetch([:], files: Self.files)
        #expect(found == .success(AWSCredentials(accessKeyID: "DEFAULT", secretAccessKey: "default/secret=")))
        let other = try await self.fetch(["AWS_PROFILE": "other"], files: Self.files)
        #expect(
            other == .success(AWSCredentials(accessKeyID: "OTHER", secretAccessKey: "other", sessionToken: "token"))
        )
        let elsewhere = try await self.fetch(["AWS_SHARED_CREDENTIALS_FILE": "/elsewhere"], files: Self.files)
        #expect(try elsewhere.get().accessKeyID == "ELSEWHERE")
        let config = try await self.fetch(["AWS_PROFILE": "inconfig"], files: Self.files)
        #expect(try config.get().accessKeyID == "INCONFIG")
    }

    /// A wrong name must not fall through to the identity of the instance.
    @Test(arguments: ["absent", "half"])
    func aNamedProfileWithoutKeyIsAnError(name: String) async throws {
        let found = try await self.fetch(["AWS_PROFILE": name], files: Self.files)
        guard case .failure(let failure) = found else {
            Issue.record("\(found)")
            return
        }
        #expect(failure.description.contains(name))
    }

    @Test
    func withNothingAnywhereItSaysSo() async throws {
        let found = try await self.fetch([:])
        guard case .failure(let failure) = found else {
            Issue.record("\(found)")
            return
        }
        #expect(failure.description.contains("No AWS credentials"))
        let half = try await self.fetch(["AWS_ACCESS_KEY_ID": "ENV"], files: Self.files)
        #expect(throws: CredentialFailure.self) { try half.get() }
    }

    @Test
    func aContainerIsAskedWithItsAuthorization() async throws {
        try await StandIn.with("credentials") { standIn in
            try standIn.ask("/_set", method: "POST", #"{"authorization": "Bearer of/news=", "seconds": 900}"#)
            let uri = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": standIn.url + "/container"]
            let refused = try await self.fetch(uri)
            #expect(throws: CredentialFailure.self) { try refused.get() }
            let token = uri.merging(["AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer of/news="]) { $1 }
            let found = try await self.fetch(token).get()
            #expect(
                found.accessKeyID == "AKID1" && found.secretAccessKey == "secret/+" && found.sessionToken == "token1=="
            )
            let life = try #require(found.expiration) - Int(Date().timeIntervalSince1970)
            #expect((890...900).contains(life))
            // The file is preferred; its line end is not a part of the token.
            let file = uri.merging([
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token",
            ]) { $1 }
            #expect(try await self.fetch(file, files: ["/token": "Bearer of/news=\n"]).get().accessKeyID == "AKID2")
        }
    }

    @Test(arguments: [
        ("http://127.0.0.1/x", true), ("http://127.9.9.9:81/x?y=1", true), ("http://localhost:80/", true),
        ("http://[::1]:80/", true), ("http://169.254.170.2/v2", true), ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1/credentials", true), ("https://example.com/x", true),
        ("http://example.com/x", false),
        ("http://169.254.169.254/latest", false), ("http://127.0.0.1.example.com/", false), ("http://127.1/", false),
        ("http://localhost.example.com/", false), ("http://user@127.0.0.1/", false), ("ftp://127.0.0.1/", false),
        ("http://10.0.0.1/", false), ("/relative", false), ("", false),
    ])
    func onlyTheseHostsAreToldTheContainersAuthorization(url: String, isAllowed: Bool) {
        #expect(ContainerCredentials.mayBeAsked(url) == isAllowed)
    }

    @Test
    func anInstanceIsAskedWithATokenFirst() async throws {
        try await StandIn.with("credentials") { standIn in
            let variables = ["AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": standIn.url]
            #expect(try await self.fetch(variables).get().accessKeyID == "AKID1")
            let log = try JSONDecoder().decode([[String?]].self, from: Data(standIn.ask("/_log").utf8))
            let role = "/latest/meta-data/iam/security-credentials/"
            let token = "AQAEAMETADATATOKEN=="
            #expect(
                log == [
                    ["PUT", "/latest/api/token", "21600"], ["GET", role, token], ["GET", role + "adtrack-role", token],
                ]
            )
            try standIn.ask("/_set", method: "POST", #"{"code": "Failed"}"#)
            let failed = try await self.fetch(variables)
            #expect(throws: CredentialFailure.self) { try failed.get() }
        }
    }

    @Test(arguments: [
        #"{"status": 500}"#, #"{"body": ""}"#, #"{"body": "<html>"}"#, #"{"body": "{}"}"#, #"{"body": "[]"}"#,
        #"{"body": "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"\"}"}"#,
        #"{"body": "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":\"soon\"}"}"#,
    ])
    func aContainerThatAnswersNonsenseIsAnError(setting: String) async throws {
        try await StandIn.with("credentials") { standIn in
            try standIn.ask("/_set", method: "POST", setting)
            let found = try await self.fetch(["AWS_CONTAINER_CREDENTIALS_FULL_URI": standIn.url + "/container"])
            #expect(throws: CredentialFailure.self) { try found.get() }
        }
    }

    @Test
    func manyThatWantCredentialsAtOnceFetchThemOnce() async throws {
        let fetches = Mutex(0)
        let credentials = Credentials(logger: .silent) {
            fetches.withLock { $0 += 1 }
            try? await Task.sleep(for: .milliseconds(20))
            return .success(.right)
        }
        let found = await withTaskGroup(of: AWSCredentials?.self) { group in
            for _ in 0..<50 { group.addTask { try? await credentials.current() } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(found == Array(repeating: .right, count: 50))
        #expect(fetches.withLock(\.self) == 1)
    }

    @Test
    func someoneWhoIsCancelledDoesNotTakeTheFetchAway() async throws {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let credentials = Credentials(logger: .silent) {
            begin.finish()
            for await _ in gate {}
            return Task.isCancelled ? .failure(CredentialFailure("cancelled")) : .success(.right)
        }
        let task = Task { try? await credentials.current() }
        for await _ in begun {}
        task.cancel()
        open.finish()
        #expect(await task.value == .right)
    }

    @Test
    func afterAnExpiredTokenTheCallIsSentAgainWithNewCredentials() async throws {
        try await StandIn.with("kinesis") { standIn in
            try await withTransport { transport in
                let fetches = Mutex(0)
                let clock = Mutex(1_000)
                let later: @Sendable () -> Int = {
                    clock.withLock { now in
                        now += 100
                        return now
                    }
                }
                let credentials = Credentials(logger: .silent, now: later) {
                    let number = fetches.withLock { count in
                        count += 1
                        return count
                    }
                    return .success(AWSCredentials(accessKeyID: "AKID\(number)", secretAccessKey: "s"))
                }
                let endpoint = try AWSEndpoint(
                    .kinesis,
                    region: "us-east-1",
                    endpoint: standIn.url,
                    environment: .init([:])
                )
                let client = KinesisClient(endpoint, transport, credentials, logger: .silent)
                try standIn.inject(#"{"kind": "error", "code": "ExpiredTokenException"}"#)
                #expect(await client.putRecords("clicks", records(1)).words == ["delivered"])
                #expect(fetches.withLock(\.self) == 2)
                // Never more than twice, however the second attempt ends.
                try standIn.inject(#"{"kind": "error", "code": "ExpiredTokenException", "times": 0}"#)
                #expect(await client.putRecords("clicks", records(1)).refusal?.isCredentials == true)
                let ledger = try standIn.ledger()
                #expect(ledger.calls["PutRecords"] == 4)
            }
        }
    }
}
