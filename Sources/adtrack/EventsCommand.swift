import ArgumentParser
import EventJournal
import Glibc
import SwiftProtobuf
import TrackingModel

/// `adtrack events`: prints what was recorded, one JSON object a line, or sends it again.
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Prints recorded events as JSON lines, or sends them again.",
        discussion: """
            A path is a journal directory, its quarantine, the directory of a file sink, or one .pb file. Nothing is \
            locked and nothing changes: it may be a running service's. What a sink refused has a field more, "refused", \
            which says who, why and when.

            With --replay the events go to each --sink instead, and a summary is printed; the exit status is 0 only if \
            all of them were delivered. What was there before is recognised by its message id.

            EXAMPLES
              adtrack events ./adtrack-data/events
              adtrack events --follow ./adtrack-data/journal | jq .messageId
              adtrack events --replay ./adtrack-data/journal/quarantine --sink 'redis:events?url=redis://127.0.0.1:6379'
            """
    )

    @Flag(help: "Go on with what is recorded from now on, until interrupted.")
    var follow = false

    @Flag(help: "Send the events to the sinks instead of printing them.")
    var replay = false

    @OptionGroup(title: "Replay") var target: ReplayOptions

    @Argument(help: ArgumentHelp("What to read.", valueName: "path"))
    var paths: [String]

    func validate() throws {
        for path in self.paths where access(path, F_OK) != 0 {
            throw ValidationError("\(path) does not exist.")
        }
        guard !self.replay || !self.follow else {
            throw ValidationError("--replay and --follow: give one of them, a replay has an end")
        }
        guard self.replay || self.target.sink.isEmpty else {
            throw ValidationError("--sink says where --replay sends events; without it they are printed")
        }
    }

    func run() async throws {
        if self.replay { return try await EventReplay(self.target.configuration(), self.paths).run() }
        var output = EventLines()
        var sources = self.paths.map { EventSource($0) }
        var isWhole = true
        repeat {
            for index in sources.indices {
                isWhole = try sources[index].read { try output.add($0) } && isWhole
            }
            try output.flush()
            // A look at what a sink shows costs a few system calls; events come at most every 100 ms.
            if self.follow { try await Task.sleep(for: .milliseconds(100)) }
        } while self.follow
        guard isWhole else { throw ExitCode(EX_DATAERR) }
    }
}

/// Lines on their way to standard output, 64 KiB at a time.
private struct EventLines {
    private var bytes: [UInt8] = []

    /// - Returns: false when the bytes are no event.
    mutating func add(_ record: RecordedEvent) throws -> Bool {
        guard let event = try? Adtrack_TrackingEvent(serializedBytes: Array(record.bytes)) else { return false }
        self.bytes += event.json(record.origin).bytes
        self.bytes.append(UInt8(ascii: "\n"))
        if self.bytes.count > 64 << 10 { try self.flush() }
        return true
    }

    /// Ends the command when nobody reads any more.
    mutating func flush() throws {
        defer { self.bytes.removeAll(keepingCapacity: true) }
        var done = 0
        while done < self.bytes.count {
            let written = self.bytes.withUnsafeBytes {
                write(STDOUT_FILENO, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw ExitCode(errno == EPIPE ? EXIT_SUCCESS : EX_IOERR) }
            done += written
        }
    }
}

extension Adtrack_TrackingEvent {
    /// All fields, also those with their default value, under the protobuf's names in camelCase; numbers as numbers.
    fileprivate func json(_ origin: JournalArchive.Origin) -> JSONText {
        var json = JSONText()
        json.beginObject()
        json.field("programid", self.programid)
        json.field("checksum", self.checksum)
        json.field("customerId", Int64(self.customerID))
        json.field("userAgent", self.userAgent)
        json.field("programName", self.programName)
        json.field("customerName", self.customerName)
        json.field("isValid", self.isValid)
        json.field("messageId", self.messageID)
        json.field("eventType", self.eventType.jsonName)
        json.field("time", self.time)
        json.key("parameters")
        json.beginObject()
        for (name, value) in self.parameters.sorted(by: { $0.key < $1.key }) { json.field(name, value) }
        json.endObject()
        json.field("referrer", self.referrer)
        json.field("clientAddress", self.clientAddress)
        json.field("programVersion", self.programVersion)
        if case .refused(let sink, let reason, let milliseconds) = origin {
            json.key("refused")
            json.beginObject()
            json.field("sink", sink)
            json.field("reason", reason)
            json.field("time", Int64(clamping: milliseconds))
            json.endObject()
        }
        json.endObject()
        return json
    }
}

extension Adtrack_EventType {
    fileprivate var jsonName: String {
        switch self {
        case .click: "CLICK"
        case .impression: "IMPRESSION"
        case .conversion: "CONVERSION"
        case .UNRECOGNIZED(let number): "\(number)"
        }
    }
}
