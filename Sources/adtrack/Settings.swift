import ArgumentParser
import Configuration
import SystemPackage

/// What is set, strongest first: flags, environment, file. What none of them says is the reader's default.
struct Settings {
    private let reader: ConfigReader

    /// - Parameters:
    ///   - flags: by the setting's flag, as many values as were given.
    ///   - file: JSON or YAML, by its extension.
    init(flags: [String: [String]], environment: [String: String], file: String?) async throws {
        var providers: [any ConfigProvider] = [
            Self.provider("flags", flags),
            Self.provider("environment", Self.values(of: environment)),
        ]
        if let file { providers.append(try await Self.provider(of: file)) }
        self.reader = ConfigReader(providers: providers)
    }

    private static func provider(_ name: String, _ values: [String: [String]]) -> InMemoryProvider {
        var contents: [AbsoluteConfigKey: ConfigValue] = [:]
        for setting in Setting.all {
            guard let given = values[setting.flag], let last = given.last else { continue }
            let key = AbsoluteConfigKey(setting.key.split(separator: ".").map(String.init))
            contents[key] =
                setting.flag == Setting.sink.flag
                ? ConfigValue(.stringArray(given), isSecret: true)
                : ConfigValue(.string(last), isSecret: setting.isSecret)
        }
        return InMemoryProvider(name: name, values: contents)
    }

    /// Our own names, and those of the system that this one replaces.
    private static func values(of environment: [String: String]) -> [String: [String]] {
        var values: [String: [String]] = [:]
        if let host = environment["REDIS_HOST"], !host.isEmpty {
            let address = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
            values[Setting.redis.flag] = ["redis://\(address):\(environment["REDIS_PORT"] ?? "6379")"]
        }
        if let stream = environment["EVENT_STREAM"], !stream.isEmpty {
            let region = environment["REGION"].map { "?region=\($0)" } ?? ""
            values[Setting.sink.flag] = ["kinesis:\(stream)\(region)"]
        }
        for setting in Setting.all {
            guard let value = environment[setting.environmentName] else { continue }
            values[setting.flag] =
                setting.flag == Setting.sink.flag ? value.split(separator: ",").map(String.init) : [value]
        }
        return values
    }

    private static func provider(of file: String) async throws -> any ConfigProvider {
        do {
            if file.hasSuffix(".json") { return try await FileProvider<JSONSnapshot>(filePath: FilePath(file)) }
            if file.hasSuffix(".yaml") || file.hasSuffix(".yml") {
                return try await FileProvider<YAMLSnapshot>(filePath: FilePath(file))
            }
        } catch {
            throw ValidationError("--config \(file): it can't be read: \(error)")
        }
        throw ValidationError("--config \(file): a configuration file ends in .json, .yaml or .yml")
    }

    // MARK: Values

    func text(_ setting: Setting) -> String? {
        let key = ConfigKey(setting.key)
        // A file may have written a number or a truth value where text would do.
        if let text = try? self.reader.requiredString(forKey: key) { return text }
        if let number = try? self.reader.requiredInt(forKey: key) { return String(number) }
        if let number = try? self.reader.requiredDouble(forKey: key) { return String(number) }
        // A list where one value belongs: text, so that it is refused and not taken for absent.
        if let texts = try? self.reader.requiredStringArray(forKey: key) { return texts.joined(separator: ",") }
        return nil
    }

    func texts(_ setting: Setting) -> [String]? {
        let key = ConfigKey(setting.key)
        if let texts = try? self.reader.requiredStringArray(forKey: key) { return texts }
        return self.text(setting).map { [$0] }
    }

    func integer(_ setting: Setting, default value: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = self.text(setting) else { return value }
        guard let number = Int(text), range.contains(number) else {
            throw Self.refusal(setting, text, "give a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func time(_ setting: Setting, default value: Duration, in range: ClosedRange<Duration>) throws -> Duration {
        guard let text = self.text(setting) else { return value }
        guard let span = TimeSpan(text), range.contains(span.duration) else {
            let (least, most) = (TimeSpan(range.lowerBound), TimeSpan(range.upperBound))
            let bounds = "\(least.defaultValueDescription) to \(most.defaultValueDescription)"
            throw Self.refusal(setting, text, "write a time as 250ms, 2s, 10m or 24h, from \(bounds)")
        }
        return span.duration
    }

    func bytes(_ setting: Setting, default value: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = self.text(setting) else { return value }
        guard let count = ByteCount(text), range.contains(count.bytes) else {
            let (least, most) = (ByteCount(range.lowerBound), ByteCount(range.upperBound))
            let bounds = "\(least.defaultValueDescription) to \(most.defaultValueDescription)"
            throw Self.refusal(setting, text, "write a size as 64KiB, 5MiB or 1GiB, from \(bounds)")
        }
        return count.bytes
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ setting: Setting,
        default value: Choice
    ) throws -> Choice {
        guard let text = self.text(setting) else { return value }
        guard let choice = Choice(rawValue: text) else {
            throw Self.refusal(setting, text, "choose " + Choice.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return choice
    }

    static func refusal(_ setting: Setting, _ text: String, _ advice: String) -> ValidationError {
        ValidationError("--\(setting.flag) '\(text)': \(advice)")
    }
}
