import ArgumentParser
import RedisClient
import StreamSource
import Testing

@testable import adtrack

@Suite("Settings of streams")
struct StreamSettingsTests {
    private func settings(_ flags: [(Setting, String)], _ environment: [String: String] = [:]) async throws -> Settings
    {
        let given = Dictionary(uniqueKeysWithValues: flags.map { ($0.0.flag, [$0.1]) })
        return try await Settings(flags: given, environment: environment, file: nil)
    }

    @Test("each is a flag and a variable", arguments: Setting.ofStreams)
    func names(setting: Setting) async throws {
        #expect(try await self.settings([(setting, "x:y")]).text(setting) == "x:y")
        let variable = "ADTRACK_" + setting.flag.uppercased().replacing("-", with: "_")
        #expect(try await self.settings([], [variable: "x:y"]).text(setting) == "x:y")
        #expect(try await self.settings([]).text(setting) == nil)
    }

    @Test("what they mean, and their defaults")
    func meaning() async throws {
        let defaults = try StreamConfiguration(await self.settings([]), managementPort: 9091)
        #expect(defaults.claimIdle == .seconds(10) && defaults.managementPort == 9091)
        #expect(defaults.limits == .init(records: 500, bytes: 5 << 20))
        guard case .files("./adtrack-data/dead-letters") = defaults.deadLetter else {
            Issue.record("\(defaults.deadLetter)")
            return
        }
        let flags: [(Setting, String)] = [
            (.claimIdle, "250ms"), (.deadLetter, "redis:dead?url=redis://127.0.0.1:7000"), (.batchRecords, "7"),
        ]
        let set = try StreamConfiguration(await self.settings(flags), managementPort: 9091)
        #expect(set.claimIdle == .milliseconds(250) && set.limits.records == 7)
        guard case .stream("dead", let redis) = set.deadLetter else {
            Issue.record("\(set.deadLetter)")
            return
        }
        #expect(redis.port == 7000)
    }

    @Test("a queue is named by its URL, which names its region")
    func queue() async throws {
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/dead"
        let set = try StreamConfiguration(
            await self.settings([(.deadLetter, "sqs:\(url)?region=eu-west-1")]),
            managementPort: 1
        )
        guard case .queue(let address) = set.deadLetter else {
            Issue.record("\(set.deadLetter)")
            return
        }
        #expect(address.name == url && address.options == ["region": "eu-west-1"])
        for text in ["sqs:dead", "sqs:\(url)?urk=1", "sqs:https://sqs.eu-central-1.amazonaws.com/dead", "kinesis:dead"]
        {
            let settings = try await self.settings([(.deadLetter, text)])
            #expect(throws: ValidationError.self, "\(text)") { try StreamConfiguration(settings, managementPort: 1) }
        }
    }

    @Test("an address has a scheme, a name and options; a path may hold a question mark")
    func addresses() throws {
        let redis = try StreamAddress("redis:a:b?url=redis://u:p@h:1&x=", .from, forms: "")
        #expect(redis.scheme == "redis" && redis.name == "a:b")
        #expect(redis.options == ["url": "redis://u:p@h:1", "x": ""])
        #expect(throws: ValidationError.self) { try redis.allow(["url"]) }
        #expect(try StreamAddress("file:/a?b=c", .from, forms: "").name == "/a?b=c")
        for text in ["", "file", "file:", "redis:?url=x", "redis:k?url"] {
            #expect(throws: ValidationError.self) { try StreamAddress(text, .from, forms: "file:DIR") }
        }
    }
}
