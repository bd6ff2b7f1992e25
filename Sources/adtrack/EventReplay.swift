import ArgumentParser
import EventJournal
import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import StreamSink
import SwiftProtobuf
import Synchronization
import TrackingModel

/// Where `adtrack events --replay` sends events.
struct ReplayOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A YAML or JSON file of settings.", valueName: "file"))
    var config: String?

    @Option(
        help: ArgumentHelp("Where the events go; may be given again.", valueName: "file:DIR|redis:KEY|kinesis:STREAM")
    )
    var sink: [String] = []

    @Option(help: ArgumentHelp("The Redis of a redis: sink that names none.", valueName: "url"))
    var redis: String?

    @Option(name: .customLong("redis-ca"), help: ArgumentHelp("Authorities to trust for rediss://.", valueName: "file"))
    var redisCA: String?

    @Option(help: "Give up when nothing could be delivered for that long.")
    var patience = TimeSpan(.seconds(60))

    func configuration() async throws -> (sinks: SinkConfiguration, patience: Duration) {
        let environment = Adtrack.environment()
        var given: [String: [String]] = [:]
        if !self.sink.isEmpty { given[Setting.sink.flag] = self.sink }
        if let redis { given[Setting.redis.flag] = [redis] }
        if let redisCA { given[Setting.redisCA.flag] = [redisCA] }
        let file = self.config ?? environment["ADTRACK_CONFIG"]
        let settings = try await Settings(flags: given, environment: environment, file: file)
        guard settings.texts(.sink) != nil else {
            throw ValidationError("--replay: say where the events go: --sink \(SinkAddress.forms)")
        }
        return (try SinkConfiguration(settings), self.patience.duration)
    }
}

/// Sends recorded events once more: through a journal of its own, in a temporary directory, with the sinks of a service at
/// its end. So a replay retries, backs off and keeps its memory bounded as a service does.
struct EventReplay {
    private let sinks: SinkConfiguration
    private let patience: Duration
    private let paths: [String]
    private let state = ReplayState()

    /// What a replay's journal holds at most.
    private static let journalBytes = 64 << 20

    init(_ target: (sinks: SinkConfiguration, patience: Duration), _ paths: [String]) {
        self.sinks = target.sinks
        self.patience = target.patience
        self.paths = paths
    }

    func run() async throws {
        LoggingSystem.bootstrap { _ in LineLogHandler(logLevel: .warning) }
        let directory = try TemporaryDirectory()
        defer { directory.remove() }
        var settings = JournalConfiguration(directory: directory.path)
        settings.maxBytes = Self.journalBytes
        settings.segmentBytes = 8 << 20
        settings.durability = .write
        let logger = Logger(label: "adtrack")
        let journal = try EventJournal.open(settings, sinks: self.sinks.addresses.map(\.name), logger: logger)
        defer { journal.close() }
        let deployment = try SinkDeployment(self.sinks, reading: journal, in: directory.path, logger: logger)
        let quiet = Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }
        let services = ServiceGroup(services: [deployment], logger: quiet)
        async let running: Void = services.run()
        async let reading = self.read(into: ReplayFeeder(journal, self.state))
        await self.awaitDelivery(journal)
        self.state.isStopped.store(true, ordering: .relaxed)
        let (count, isWhole) = try await reading
        await services.triggerGracefulShutdown()
        try await running
        guard self.report(journal.books, read: count), isWhole else { throw ExitCode(EXIT_FAILURE) }
    }

    /// On a thread that may wait for disks.
    private func read(into feeder: ReplayFeeder) async throws -> (count: UInt64, isWhole: Bool) {
        defer { self.state.isRead.store(true, ordering: .relaxed) }
        let paths = self.paths
        return try await NIOThreadPool.singleton.runIfActive {
            var feeder = feeder
            var isWhole = true
            for path in paths {
                var source = EventSource(path)
                isWhole = try source.read { try feeder.add($0) } && isWhole
            }
            try feeder.flush()
            return (feeder.count, isWhole && !feeder.wasStopped)
        }
    }

    /// Returns when all is read and acknowledged, or nothing moved for too long.
    private func awaitDelivery(_ journal: EventJournal) async {
        var (moved, since) = (UInt64.max, ContinuousClock.now)
        while true {
            let isRead = self.state.isRead.load(ordering: .relaxed)
            let books = journal.books
            if isRead, books.pending == 0 { return }
            let done = books.sinks.reduce(0) { $0 + $1.delivered + $1.quarantined }
            if done != moved { (moved, since) = (done, .now) }
            if since.duration(to: .now) > self.patience { return }
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    /// - Returns: whether every sink has every event.
    private func report(_ books: JournalBooks, read: UInt64) -> Bool {
        print("read \(read)")
        var isDelivered = true
        for sink in books.sinks {
            let missing = read - min(read, sink.delivered + sink.quarantined)
            isDelivered = isDelivered && missing == 0 && sink.quarantined == 0
            print("\(sink.name): delivered \(sink.delivered), refused \(sink.quarantined), not delivered \(missing)")
        }
        return isDelivered
    }
}

/// What the two sides of a replay tell each other.
private final class ReplayState: Sendable {
    let isRead = Atomic<Bool>(false)
    /// Nothing moves any more: what is not read stays where it is.
    let isStopped = Atomic<Bool>(false)
}

/// Puts events into a journal from a thread that waits while the journal is full.
private struct ReplayFeeder: Sendable {
    private let loop: any EventLoop
    private let lane: NIOLoopBound<Lane>
    private let state: ReplayState
    private var waiting: [(bytes: [UInt8], key: Range<Int>)] = []
    private var waitingBytes = 0
    private(set) var count: UInt64 = 0
    private(set) var wasStopped = false

    /// What goes in one batch of the journal.
    private static let batchRecords = 500
    private static let batchBytes = 512 << 10
    /// The journal's longest record.
    private static let recordBytes = 65_535

    private final class Lane {
        var lane: JournalLane?
        var promise: EventLoopPromise<BatchOutcome>?
    }

    init(_ journal: EventJournal, _ state: ReplayState) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        self.loop = loop
        self.state = state
        self.lane = try await loop.submit {
            let inside = Lane()
            inside.lane = journal.makeLane(on: loop) { [unowned inside] _, outcome in inside.promise?.succeed(outcome) }
            return NIOLoopBound(inside, eventLoop: loop)
        }.get()
    }

    /// - Returns: false for what is no event.
    mutating func add(_ record: RecordedEvent) throws -> Bool {
        let bytes = Array(record.bytes)
        guard bytes.count <= Self.recordBytes, let event = try? Adtrack_TrackingEvent(serializedBytes: bytes) else {
            return false
        }
        // Wherever these bytes stand: what counts is that they are the id's.
        let key = record.key ?? bytes.firstRange(of: Array(event.messageID.utf8)) ?? 0..<0
        self.waiting.append((bytes, key))
        self.waitingBytes += bytes.count
        if self.waiting.count == Self.batchRecords || self.waitingBytes >= Self.batchBytes { try self.flush() }
        return true
    }

    /// Returns when the journal has what was added.
    mutating func flush() throws {
        guard !self.waiting.isEmpty else { return }
        let records = self.waiting
        self.waiting = []
        self.waitingBytes = 0
        self.count += UInt64(records.count)
        while !self.state.isStopped.load(ordering: .relaxed) {
            if try self.append(records) == .durable { return }
            usleep(20_000)
        }
        self.wasStopped = true
    }

    /// All of them or none: what a failed attempt left in the journal goes once more.
    private func append(_ records: [(bytes: [UInt8], key: Range<Int>)]) throws -> BatchOutcome {
        let outcome = self.loop.flatSubmit { () -> EventLoopFuture<BatchOutcome> in
            let promise = self.loop.makePromise(of: BatchOutcome.self)
            let inside = self.lane.value
            inside.promise = promise
            for record in records {
                let result = inside.lane?.append(upTo: record.bytes.count) { place in
                    place.copyBytes(from: record.bytes)
                    return WrittenRecord(length: record.bytes.count, key: record.key)
                }
                if case .refused(let refusal)? = result {
                    promise.succeed(.failed(refusal))
                    break
                }
            }
            return promise.futureResult
        }
        return try outcome.wait()
    }
}

/// A directory for the time of a command.
private struct TemporaryDirectory {
    let path: String

    init() throws {
        let parent = Adtrack.environment()["TMPDIR"] ?? "/tmp"
        var template = Array("\(parent)/adtrack-replay-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw StartError("no temporary directory can be made in \(parent)") }
        self.path = String(cString: made)
    }

    func remove() { Self.remove(self.path) }

    private static func remove(_ path: String) {
        if let stream = opendir(path) {
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name == "." || name == ".." { continue }
                if unlink("\(path)/\(name)") != 0 { self.remove("\(path)/\(name)") }
            }
            closedir(stream)
        }
        rmdir(path)
    }
}
