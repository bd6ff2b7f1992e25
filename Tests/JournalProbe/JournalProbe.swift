import EventJournal
import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization

@testable import StreamSink

/// A process that tests kill: it writes as fast as it can and says on standard output what it may be held to.
///
///     JournalProbe journal DIR DURABILITY FIRST    appends records FIRST, FIRST+1, …; a line for each that was accepted
///     JournalProbe files DIR                       makes blocks of events visible
@main
enum JournalProbe {
    static func main() throws {
        let arguments = CommandLine.arguments
        switch arguments.dropFirst().first {
        case "journal" where arguments.count == 5:
            try self.journal(arguments[2], arguments[3], Int(arguments[4]) ?? 0)
        case "files" where arguments.count == 3:
            try self.files(arguments[2])
        default:
            exit(EX_USAGE)
        }
    }

    private static func files(_ directory: String) throws {
        var writer = try EventFileWriter(directory: directory, rotateBytes: 1 << 20, rotateSeconds: 3600)
        var number: UInt64 = 1
        while true {
            var framed: [UInt8] = []
            let event = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 700)
            for _ in 0..<100 { event.withUnsafeBytes { EventFraming.append($0, to: &framed) } }
            try writer.show(framed, now: number)
            number += 1
        }
    }

    private static func journal(_ directory: String, _ durability: String, _ first: Int) throws {
        var configuration = JournalConfiguration(directory: directory)
        configuration.durability = JournalConfiguration.Durability(rawValue: durability) ?? .fsync
        configuration.segmentBytes = 1 << 20
        let journal = try EventJournal.open(configuration, sinks: ["sink"], logger: Logger(label: "probe"))
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let started = loop.submit { Feeder(journal, on: loop, first: first).feed() }
        try started.wait()
        while true { sleep(1000) }
    }
}

/// Keeps some records waiting at all times; confined to the lane's loop.
private final class Feeder {
    private var lane: JournalLane?
    private var next: Int
    private var waiting: [(batch: BatchID, number: Int)] = []
    private let loop: any EventLoop

    init(_ journal: EventJournal, on loop: any EventLoop, first: Int) {
        self.next = first
        self.loop = loop
        // Keeps itself alive: the process ends by being killed.
        self.lane = journal.makeLane(on: loop) { batch, outcome in self.settled(batch, outcome) }
    }

    func feed() {
        guard let lane = self.lane else { return }
        for _ in 0..<Int.random(in: 1...40) {
            let bytes = Array("event-\(self.next)-".utf8) + [UInt8](repeating: 0x78, count: Int.random(in: 0...600))
            let result = lane.append(upTo: bytes.count) { place in
                place.copyBytes(from: bytes)
                return WrittenRecord(length: bytes.count)
            }
            guard case .queued(let batch) = result else { continue }
            self.waiting.append((batch, self.next))
            self.next += 1
        }
        if self.waiting.isEmpty { self.loop.assumeIsolated().scheduleTask(in: .milliseconds(1)) { self.feed() } }
    }

    private func settled(_ batch: BatchID, _ outcome: BatchOutcome) {
        var lines = ""
        while let first = self.waiting.first, first.batch <= batch {
            if outcome == .durable { lines += "\(first.number)\n" }
            self.waiting.removeFirst()
        }
        // One write: what the reader of the pipe has is what was answered.
        lines.withCString { _ = write(STDOUT_FILENO, $0, strlen($0)) }
        self.loop.assumeIsolated().execute { self.feed() }
    }
}
