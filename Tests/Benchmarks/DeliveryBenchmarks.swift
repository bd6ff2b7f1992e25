import EventJournal
import Foundation
import Logging
import NIOCore
import NIOPosix
import StreamSink

/// What it costs to bring a backlog from the journal to Kinesis: reading, batching, signing, sending, acknowledging.
enum DeliveryBenchmarks {
    /// A multiple of a call's records, as the server answers for full calls alone.
    private static let events = 200_000
    private static let sink = "kinesis:clicks"

    /// - Parameter port: of a server that takes everything.
    static func run(port: Int) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "adtrack-benchmark-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        var configuration = JournalConfiguration(directory: directory.path)
        configuration.durability = .write
        let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
        let journal = try EventJournal.open(configuration, sinks: [self.sink], logger: logger)
        defer { journal.close() }
        for _ in 0..<(self.events / 500) { try await self.fill(journal) }
        let target = KinesisStream.Target(
            stream: "clicks",
            region: "us-east-1",
            endpoint: "http://127.0.0.1:\(port)"
        )
        let identity = ["AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"]
        let stream = try KinesisStream(target, environment: identity, logger: logger)
        let quarantine = RefusedRecords(journal: directory.path)
        var limits = DeliveryLimits()
        limits.batch.age = 10_000
        let delivery = StreamDelivery(
            limits,
            name: self.sink,
            from: journal,
            quarantine: quarantine,
            logger: logger
        ) { _ in stream }
        guard let delivery else { throw CocoaError(.featureUnsupported) }
        let (start, cpu) = (ContinuousClock.now, KinesisBenchmarks.cpuNanoseconds())
        let running = Task { try await delivery.run() }
        while journal.books.acknowledged < UInt64(self.events) {
            guard start.duration(to: .now) < .seconds(60) else { throw CocoaError(.userCancelled) }
            try await Task.sleep(for: .milliseconds(1))
        }
        let wall = start.duration(to: .now) / .nanoseconds(Int64(self.events))
        let spent = Double(KinesisBenchmarks.cpuNanoseconds() - cpu) / Double(self.events)
        KinesisBenchmarks.show("  from the journal's disk to the acknowledgement", wall: wall, cpu: spent)
        running.cancel()
        try await running.value
    }

    /// One batch of 500 events, each with a key of its own.
    private static func fill(_ journal: EventJournal) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let outcome = try await loop.flatSubmit { () -> EventLoopFuture<BatchOutcome> in
            let promise = loop.makePromise(of: BatchOutcome.self)
            let lane = journal.makeLane(on: loop) { _, outcome in promise.succeed(outcome) }
            for _ in 0..<500 {
                let event = Array(UUID().uuidString.utf8) + [UInt8](repeating: 0x61, count: 214)
                _ = lane.append(upTo: event.count) { place in
                    place.copyBytes(from: event)
                    return WrittenRecord(length: event.count, key: 0..<36)
                }
            }
            // The lane lives until its batch is committed.
            let held = NIOLoopBound(lane, eventLoop: loop)
            return promise.futureResult.map { outcome in withExtendedLifetime(held) { outcome } }
        }.get()
        guard outcome == .durable else { throw CocoaError(.fileWriteUnknown) }
    }
}
