import Glibc

/// The settings that the AWS SDKs read: environment variables, and files that they name.
public struct AWSEnvironment: Sendable {
    private let variables: [String: String]
    /// Gives the content of a file, nil where there is none.
    let readFile: @Sendable (String) -> String?

    /// Of this process.
    public static let process = AWSEnvironment(Self.processVariables())

    public init(_ variables: [String: String], readFile: @escaping @Sendable (String) -> String? = Self.file) {
        self.variables = variables
        self.readFile = readFile
    }

    /// nil for a variable that is absent or empty.
    subscript(name: String) -> String? {
        guard let value = self.variables[name], !value.isEmpty else { return nil }
        return value
    }

    func isTrue(_ name: String) -> Bool { self[name]?.lowercased() == "true" }

    /// The region of the environment (`REGION` is the replaced system's), or else of the profile.
    public var region: String? {
        self["AWS_REGION"] ?? self["AWS_DEFAULT_REGION"] ?? self["REGION"] ?? self.profile["region"]
    }

    /// At most 1 MiB of a file.
    public static let file: @Sendable (String) -> String? = { path in
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(validating: bytes[..<count], as: UTF8.self)
    }

    private static func processVariables() -> [String: String] {
        var variables: [String: String] = [:]
        var place = environ
        while let entry = place.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            place += 1
        }
        return variables
    }
}

extension AWSEnvironment {
    var profileName: String { self["AWS_PROFILE"] ?? self["AWS_DEFAULT_PROFILE"] ?? "default" }
    var namesProfile: Bool { self["AWS_PROFILE"] ?? self["AWS_DEFAULT_PROFILE"] != nil }

    /// The profile's settings: those of the credentials file over those of the config file (AWS SDKs and Tools
    /// Reference Guide, "Shared config and credentials files").
    var profile: [String: String] {
        let config = self.file(self["AWS_CONFIG_FILE"] ?? "~/.aws/config")
        let credentials = self.file(self["AWS_SHARED_CREDENTIALS_FILE"] ?? "~/.aws/credentials")
        let name = self.profileName
        let inConfig = config.map {
            Self.section(name == "default" ? ["default", "profile default"] : ["profile \(name)"], of: $0)
        }
        let inCredentials = credentials.map { Self.section([name], of: $0) }
        return (inConfig ?? [:]).merging(inCredentials ?? [:]) { $1 }
    }

    private func file(_ path: String) -> String? {
        guard path.hasPrefix("~/") else { return self.readFile(path) }
        return self["HOME"].flatMap { self.readFile($0 + path.dropFirst()) }
    }

    /// The keys of the named sections; indented lines belong to a nested setting and are left out.
    static func section(_ names: [String], of text: String) -> [String: String] {
        var settings: [String: String] = [:]
        var isWanted = false
        for line in text.split(whereSeparator: \.isNewline) {
            let bare = Self.trimmed(line)
            if bare.isEmpty || bare.hasPrefix("#") || bare.hasPrefix(";") { continue }
            if bare.hasPrefix("["), let end = bare.firstIndex(of: "]") {
                let name = bare[bare.index(after: bare.startIndex)..<end]
                isWanted = names.contains(name.split { $0 == " " || $0 == "\t" }.joined(separator: " "))
            } else if isWanted, line.first != " ", line.first != "\t", let equals = bare.firstIndex(of: "=") {
                settings[Self.trimmed(bare[..<equals]).lowercased()] = Self.trimmed(bare[bare.index(after: equals)...])
            }
        }
        return settings
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
        return String(text.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }
}
