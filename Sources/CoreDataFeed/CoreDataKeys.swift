import TrackingModel

/// The names core data has in Redis.
public struct CoreDataKeys: Sendable, Hashable {
    /// Stands before a program's id; empty reads the keys of the system that was replaced.
    public var prefix: String
    /// Where changes are published.
    public var channel: String
    /// The stream that keeps the latest changes, so that one who was away can catch up.
    public let changes = "adtrack.core-data.changes"

    public init(prefix: String = "program:", channel: String = "adtrack.core-data") {
        self.prefix = prefix
        self.channel = channel
    }

    func program(_ id: ProgramID) -> String { prefix + id.text }

    /// Keeps the version of a deleted program. No id holds a colon, so no program's key is ever this one.
    func tombstone(_ id: ProgramID) -> String { prefix + id.text + ":deleted" }

    /// The id a key is of; nil where it is no program's key.
    func id(ofKey key: String) -> ProgramID? {
        key.hasPrefix(prefix) ? ProgramID(String(key.dropFirst(prefix.count))) : nil
    }

    /// The prefix as a pattern of `SCAN`, taken literally.
    var scanPattern: String {
        var pattern = ""
        for character in prefix {
            if "*?[]^-\\".contains(character) { pattern.append("\\") }
            pattern.append(character)
        }
        return pattern + "*"
    }
}
