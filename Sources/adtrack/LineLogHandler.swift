import Glibc
import Logging
import TrackingModel

/// One line on standard error for each message: time, level, message, values. Text from outside can't make a second line,
/// move a terminal's cursor or fill a disk: control characters are escaped and a value ends after 1 KiB.
struct LineLogHandler: LogHandler {
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    private static let maximumValueBytes = 1024

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var values = self.metadata
        if let more = self.metadataProvider?.get() { values.merge(more) { $1 } }
        if let more = event.metadata { values.merge(more) { $1 } }
        var line = "\(Self.now()) \(event.level.rawValue) \(Self.escaped("\(event.message)"))"
        for (name, value) in values.sorted(by: { $0.key < $1.key }) {
            line += " \(name)=\(Self.quoted("\(value)"))"
        }
        line += "\n"
        var bytes = Array(line.utf8)
        // One write, so that lines of several threads don't mix.
        _ = write(STDERR_FILENO, &bytes, bytes.count)
    }

    private static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000).rfc3339
    }

    private static func quoted(_ value: String) -> String {
        let text = self.escaped(value)
        return text.contains(" ") || text.isEmpty ? "\"\(text)\"" : text
    }

    private static func escaped(_ value: String) -> String {
        var text = ""
        for scalar in value.unicodeScalars {
            guard text.utf8.count < self.maximumValueBytes else { return text + "…" }
            switch scalar.value {
            case 0..<0x20, 0x7f...0x9f, 0x2028, 0x2029: text += "\\u{\(String(scalar.value, radix: 16))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
