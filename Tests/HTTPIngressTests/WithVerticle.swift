import EventJournal
import Foundation
import Logging
import NIOCore
import ProgramCache
import Reactor
import Synchronization
import TestSupport
import Testing
import TrackingModel
import Verticles

@testable import HTTPIngress

/// The tracking verticle of one real event loop, behind a real port, with a journal in a directory of its own.
struct Tracked: Sendable {
    let verticle: HTTPVerticle
    let source: StubSource
    let port: Int

    func connect() throws -> RawConnection { try RawConnection(port: self.port) }

    var balances: Bool {
        get async {
            let books = await self.verticle.snapshot().books
            let rejected = books.rejected.map(\.count).reduce(0, +)
            return books.received == books.accepted + rejected + books.unavailable + books.shed
        }
    }
}

/// Programs whose id begins with `p`; `slow…` come when the test says so, `away…` can't be reached.
final class StubSource: Sendable {
    private let waiting = Mutex<[(ProgramID, @Sendable (ProgramReading) -> Void)]>([])
    let reads = Atomic(0)
    private let loop: any EventLoop

    init(_ loop: any EventLoop) { self.loop = loop }

    var programs: ProgramSource {
        ProgramSource(
            isReachable: { true },
            read: { id, completion in
                self.reads.add(1, ordering: .relaxed)
                if id.text.hasPrefix("slow") {
                    self.waiting.withLock { $0.append((id, completion)) }
                } else if id.text.hasPrefix("now") {
                    completion(Self.reading(id))
                } else {
                    self.loop.execute { completion(Self.reading(id)) }
                }
            }
        )
    }

    /// Answers every read that waits.
    func answer() {
        for (id, completion) in self.waiting.withLock({ $0 }) { self.loop.execute { completion(Self.reading(id)) } }
        self.waiting.withLock { $0 = [] }
    }

    private static func reading(_ id: ProgramID) -> ProgramReading {
        if id.text.hasPrefix("away") { return .unreachable }
        if id.text.hasPrefix("odd") { return .malformed(MalformedProgram(field: "valid", reason: "is odd")) }
        if id.text.hasPrefix("none") { return .absent }
        var program = Program(id: id)
        program.name = "Program \(id.text)"
        program.isValid = !id.text.hasPrefix("poff")
        return .program(program)
    }
}

func withVerticle<R>(
    _ journalSettings: (inout JournalConfiguration) -> Void = { _ in },
    ingress: IngressConfiguration = IngressConfiguration(),
    _ body: (Tracked) async throws -> R
) async throws -> R {
    let directory = FileManager.default.temporaryDirectory.path + "/adtrack-verticle-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var configuration = JournalConfiguration(directory: directory)
    configuration.durability = .write
    configuration.segmentBytes = 1 << 20
    journalSettings(&configuration)
    let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    let journal = try EventJournal.open(configuration, sinks: ["test"], logger: logger)
    let loop = try ReactorLoop()
    let source = StubSource(loop)
    let listener = Listener(host: "127.0.0.1", port: 0, maximumConnections: 1_000, isShared: false)
    let verticle = HTTPVerticle(
        VerticleContext(loop: loop, instance: 0, bus: EventBus(), logger: logger),
        configuration: ingress,
        listener: listener,
        routes: [
            Route(
                "/health/check",
                label: .healthCheck,
                handler: .immediate { Answer(status: 200, body: Array("{}".utf8)) }
            ),
            Route("/later", takesHead: false, handler: .deferred { Answer(status: 200, body: Array("[]".utf8)) }),
        ],
        tracking: HTTPVerticle.Tracking(
            cache: ProgramCache.Limits(),
            source: source.programs,
            journal: journal,
            changes: Address<CoreDataChange>("changes", capacity: 16, overflow: .replaceAll(with: .recheckAll))
        )
    )
    try await verticle.start()
    let port = try #require(listener.address?.port)
    let result: Result<R, any Error>
    do {
        result = .success(try await body(Tracked(verticle: verticle, source: source, port: port)))
    } catch {
        result = .failure(error)
    }
    await verticle.stop()
    journal.close()
    loop.stop()
    return try result.get()
}
