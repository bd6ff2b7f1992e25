import GRDB
public import StreamSource
public import TrackingModel

/// How many events there are, by one of their traits.
public struct EventReport: Sendable, Equatable {
    public enum Trait: String, Sendable, CaseIterable {
        case program
        case type
        /// The hour of the request in UTC, as RFC 3339.
        case hour
    }

    public struct Line: Sendable, Equatable {
        public var key: String
        public var events: Int64
    }

    public var trait: Trait
    /// Hours in their order, everything else by the number of events, then by key.
    public var lines: [Line]

    public init(trait: Trait, counts: [String: Int64]) {
        self.trait = trait
        self.lines = counts.map { Line(key: $0.key, events: $0.value) }.sorted { left, right in
            if trait == .hour || left.events == right.events { return left.key < right.key }
            return left.events > right.events
        }
    }

    public var total: Int64 { self.lines.reduce(0) { $0 &+ $1.events } }

    static let hourMilliseconds: Int64 = 3_600_000

    /// The key of the hour which began `hours` hours after the epoch.
    static func key(hours: Int64) -> String {
        Timestamp(milliseconds: hours.multipliedReportingOverflow(by: Self.hourMilliseconds).partialValue).rfc3339
    }
}

extension EventReport {
    /// Counts the rows of a database that somebody may be writing to.
    ///
    /// - Parameter since: only events whose request was accepted then or later.
    public init(sqlite path: String, by trait: Trait, since: Timestamp?) throws(StreamFailure) {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        do {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            let counts = try queue.read { try Self.counts($0, trait, since?.milliseconds ?? .min) }
            self.init(trait: trait, counts: counts)
        } catch {
            throw SQLiteEventTable.failure(path, error)
        }
    }

    private static func counts(_ database: Database, _ trait: Trait, _ since: Int64) throws -> [String: Int64] {
        let column =
            switch trait {
            case .program: "program_id"
            case .type: "event_type"
            case .hour: "time / \(Self.hourMilliseconds)"
            }
        let rows = try Row.fetchAll(
            database,
            sql: "SELECT \(column), COUNT(*) FROM events WHERE time >= ? GROUP BY 1",
            arguments: [since]
        )
        var counts: [String: Int64] = [:]
        for row in rows {
            let key = trait == .hour ? Self.key(hours: row[0]) : row[0]
            counts[key, default: 0] += row[1] as Int64
        }
        return counts
    }
}

/// How a report is printed.
extension EventReport {
    /// Two columns and the sum.
    public var table: String {
        let heading = (self.trait.rawValue, "events")
        let rows = self.lines.map { (Self.printable($0.key), "\($0.events)") } + [("total", "\(self.total)")]
        let width = ([heading] + rows).map { $0.0.count }.max() ?? 0
        let numbers = ([heading] + rows).map { $0.1.count }.max() ?? 0
        return ([heading] + rows).map { key, events in
            key + String(repeating: " ", count: width - key.count + 2 + numbers - events.count) + events + "\n"
        }.joined()
    }

    public var json: String {
        var text = JSONText()
        text.beginObject()
        text.field("by", self.trait.rawValue)
        text.field("total", self.total)
        text.key("rows")
        text.array(self.lines) { text, line in
            text.beginObject()
            text.field("key", line.key)
            text.field("events", line.events)
            text.endObject()
        }
        text.endObject()
        return String(decoding: text.bytes, as: UTF8.self) + "\n"
    }

    /// RFC 4180, with the line end of this system.
    public var csv: String {
        "key,events\n" + self.lines.map { "\(Self.quoted($0.key)),\($0.events)\n" }.joined()
    }

    private static func quoted(_ key: String) -> String {
        guard key.contains(where: { ",\"\r\n".contains($0) }) else { return key }
        return "\"" + key.replacing("\"", with: "\"\"") + "\""
    }

    /// What a stranger wrote into an event must not steer a terminal.
    private static func printable(_ key: String) -> String {
        String(
            String.UnicodeScalarView(key.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 })
        )
    }
}
