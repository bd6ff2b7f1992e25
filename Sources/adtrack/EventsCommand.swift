import ArgumentParser
import EventJournal
import Glibc
import StreamSink
import SwiftProtobuf
import TrackingModel

/// `adtrack events`: prints what was recorded, one JSON object a line.
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Prints recorded events as JSON lines.",
        discussion: """
            A path is a journal directory, its quarantine, the directory of a file sink, or one .pb file. Nothing is \
            locked and nothing changes: it may be a running service's.

            EXAMPLES
              adtrack events ./adtrack-data/events
              adtrack events --follow ./adtrack-data/journal | jq .messageId
            """
    )

    @Flag(help: "Go on with what is recorded from now on, until interrupted.")
    var follow = false

    @Argument(help: ArgumentHelp("What to read.", valueName: "path"))
    var paths: [String]

    func validate() throws {
        for path in self.paths where access(path, F_OK) != 0 {
            throw ValidationError("\(path) does not exist.")
        }
    }

    func run() async throws {
        var output = EventLines()
        var sources = self.paths.map { EventSource($0) }
        var isWhole = true
        repeat {
            for index in sources.indices { isWhole = try sources[index].read(into: &output) && isWhole }
            try output.flush()
            // A look at what a sink shows costs a few system calls; events come at most every 100 ms.
            if self.follow { try await Task.sleep(for: .milliseconds(100)) }
        } while self.follow
        guard isWhole else { throw ExitCode(EX_DATAERR) }
    }
}

/// A path and how far it was read.
private struct EventSource {
    private let path: String
    private var archive: JournalArchive
    private var files: [String: EventFileReader] = [:]
    private let isDirectory: Bool

    init(_ path: String) {
        self.path = path
        self.archive = JournalArchive(directory: path)
        var status = stat()
        self.isDirectory = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// - Returns: false when something was no event.
    mutating func read(into output: inout EventLines) throws -> Bool {
        guard self.isDirectory else { return try self.readFile(self.path, into: &output) }
        var isWhole = true
        for file in EventFileReader.files(in: self.path) { isWhole = try self.readFile(file, into: &output) && isWhole }
        try self.archive.read { record, isDamaged in
            let isEvent = try output.add(record.bytes)
            guard !isEvent, !isDamaged else { return }
            isWhole = false
            Self.complain("\(self.path): the record at sequence \(record.sequence) is no event")
        }
        return isWhole
    }

    private mutating func readFile(_ file: String, into output: inout EventLines) throws -> Bool {
        var reader = self.files[file] ?? EventFileReader(path: file)
        defer { self.files[file] = reader }
        let start = reader.offset
        var isWhole = true
        let finding = try reader.read { bytes, offset in
            if try output.add(bytes) { return }
            isWhole = false
            Self.complain("\(file): what stands at offset \(offset) is no event")
        }
        switch finding {
        case .complete: return isWhole
        case .malformed(let offset):
            if offset != start || start == 0 { Self.complain("\(file): no whole event at offset \(offset)") }
        case .unreadable(let cause): Self.complain("\(file) cannot be read: \(cause)")
        }
        return false
    }

    private static func complain(_ sentence: String) {
        let line = Array("adtrack events: \(sentence)\n".utf8)
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// Lines on their way to standard output, 64 KiB at a time.
private struct EventLines {
    private var bytes: [UInt8] = []

    /// - Returns: false when the bytes are no event.
    mutating func add(_ event: UnsafeRawBufferPointer) throws -> Bool {
        guard let event = try? Adtrack_TrackingEvent(serializedBytes: Array(event)) else { return false }
        self.bytes += event.json.bytes
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
    fileprivate var json: JSONText {
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
