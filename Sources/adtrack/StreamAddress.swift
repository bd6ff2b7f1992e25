import ArgumentParser
import RedisClient

/// A stream, a table or a place of dead letters as it is written: `file:DIR`, `redis:KEY?url=redis://…`, `sqlite:PATH`.
struct StreamAddress: Equatable {
    let setting: String
    let scheme: String
    /// A path, a key, a stream's name.
    let name: String
    let options: [String: String]

    /// - Parameter forms: what may be written, for the sentence of a refusal.
    init(_ text: String, _ setting: Setting, forms: String) throws {
        guard let colon = text.firstIndex(of: ":") else { throw Settings.refusal(setting, text, "write \(forms)") }
        self.setting = setting.flag
        self.scheme = String(text[..<colon])
        let rest = text[text.index(after: colon)...]
        // A path may hold a question mark.
        let isPath = ["file", "sqlite"].contains(self.scheme)
        let parts = isPath ? [rest] : rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.name = String(parts[0])
        guard !self.name.isEmpty else { throw Settings.refusal(setting, self.scheme + ":", "write \(forms)") }
        var options: [String: String] = [:]
        for option in parts.count > 1 ? parts[1].split(separator: "&") : [] {
            let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else {
                throw Settings.refusal(setting, "\(self.scheme):\(self.name)", "write options as name=value")
            }
            options[String(pair[0])] = String(pair[1])
        }
        self.options = options
    }

    /// The Redis of `?url=`, else the one of `--redis`.
    func redis(_ settings: Settings) throws -> RedisConfiguration {
        try self.allow(["url"])
        guard let url = self.options["url"] else { return try RedisConfiguration(settings) }
        return try RedisConfiguration(settings, url: url, setting: self.setting)
    }

    func allow(_ names: [String]) throws {
        guard let unknown = self.options.keys.sorted().first(where: { !names.contains($0) }) else { return }
        let known = names.isEmpty ? "it has no options" : "it understands \(names.joined(separator: ", "))"
        throw ValidationError("--\(self.setting) \(self.scheme):\(self.name): '\(unknown)' is no option; \(known)")
    }
}
