import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import EventJournal

let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// A directory of its own for the time of the body.
func withDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    var template = Array("/tmp/adtrack-journal-XXXXXX".utf8CString)
    let path = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer { removeTree(path) }
    return try await body(path)
}

func removeTree(_ path: String) {
    let files = DiskFileSystem()
    for name in (try? files.list(path)) ?? [] {
        if unlink("\(path)/\(name)") != 0 { removeTree("\(path)/\(name)") }
    }
    rmdir(path)
}

/// A lane and what was settled on it, used from a test's task.
final class LaneDriver: Sendable {
    private struct Inside {
        var lane: JournalLane
        var settled: Settled
    }

    private final class Settled {
        var outcomes: [(BatchID, BatchOutcome)] = []
        var waiting: [BatchID: [EventLoopPromise<BatchOutcome>]] = [:]
    }

    let loop: any EventLoop
    private let inside: NIOLoopBound<Inside>

    private init(_ loop: any EventLoop, _ inside: NIOLoopBound<Inside>) {
        self.loop = loop
        self.inside = inside
    }

    static func make(_ journal: EventJournal, on loop: any EventLoop) async throws -> LaneDriver {
        try await loop.submit {
            let settled = Settled()
            let lane = journal.makeLane(on: loop) { batch, outcome in
                settled.outcomes.append((batch, outcome))
                for promise in settled.waiting.removeValue(forKey: batch) ?? [] { promise.succeed(outcome) }
            }
            return LaneDriver(loop, NIOLoopBound(Inside(lane: lane, settled: settled), eventLoop: loop))
        }.get()
    }

    /// Appends in one tick; the outcome of each record.
    func append(_ records: [[UInt8]]) async throws -> [BatchOutcome?] {
        let futures = try await self.loop.submit { () -> [EventLoopFuture<BatchOutcome?>] in
            let inside = self.inside.value
            return records.map { record in
                let result = inside.lane.append(upTo: record.count + 16) { place in
                    place.copyBytes(from: record)
                    return WrittenRecord(length: record.count, key: 0..<min(4, record.count))
                }
                switch result {
                case .queued(let batch):
                    let promise = self.loop.makePromise(of: BatchOutcome.self)
                    inside.settled.waiting[batch, default: []].append(promise)
                    return promise.futureResult.map { $0 }
                case .unrecorded: return self.loop.makeSucceededFuture(nil)
                case .refused(let refusal): return self.loop.makeSucceededFuture(.failed(refusal))
                }
            }
        }.get()
        var outcomes: [BatchOutcome?] = []
        for future in futures { outcomes.append(try await future.get()) }
        return outcomes
    }

    var settledBatches: [UInt64] {
        get async throws {
            try await self.loop.submit { self.inside.value.settled.outcomes.map { $0.0.number } }.get()
        }
    }
}

/// A journal in a directory, its only lane, and its readers.
func withJournal<R>(
    _ configuration: JournalConfiguration,
    sinks: [String] = ["one"],
    _ body: (EventJournal, LaneDriver) async throws -> R
) async throws -> R {
    let journal = try EventJournal.open(configuration, sinks: sinks, logger: quiet)
    defer { journal.close() }
    let lane = try await LaneDriver.make(journal, on: MultiThreadedEventLoopGroup.singleton.any())
    return try await body(journal, lane)
}

func record(_ number: Int, bytes: Int = 40) -> [UInt8] {
    let head = Array("event-\(number)-".utf8)
    return head + [UInt8](repeating: UInt8(ascii: "x"), count: max(0, bytes - head.count))
}

/// Everything that can be read now.
func drain(_ reader: JournalReader, records: Int = 500) -> [[UInt8]] {
    var all: [[UInt8]] = []
    while let slice = reader.read(maxRecords: records, maxBytes: 1 << 20) {
        slice.visit { all.append(Array($0.bytes)) }
    }
    return all
}

extension JournalBooks {
    var balances: Bool { self.appended == self.acknowledged + self.pending + self.dropped }
}
