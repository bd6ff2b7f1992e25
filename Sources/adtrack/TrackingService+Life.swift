import EventJournal
import Logging
import ServiceLifecycle

extension TrackingService {
    /// Runs until a signal has stopped everything, in reverse.
    func live(_ services: [any Service], _ journal: EventJournal) async throws {
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map { .init(service: $0) },
                logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }
            )
        )
        let signals = SignalWatch(
            logger: self.logger,
            drain: { await group.triggerGracefulShutdown() },
            endNow: { journal.close() }
        ).begin()
        try await group.run()
        withExtendedLifetime(signals) {}
        self.logger.info("stopped")
    }
}

/// Says that it serves, once signals are seen and everything that they end runs.
struct Announcement: Service {
    let logger: Logger
    let http: String
    let management: String

    func run() async throws {
        self.logger.info("serving", metadata: ["http": "\(self.http)", "management": "\(self.management)"])
        try? await gracefulShutdown()
    }
}

/// The journal as a service: ends last, when nothing is appended and no sink reads any more.
struct JournalKeeping: Service {
    let journal: EventJournal

    func run() async throws {
        try? await gracefulShutdown()
        self.journal.close()
    }
}

/// First to be told of the end: says so on the readiness page, and gives load balancers the time to look.
struct DrainDelay: Service {
    private let delay: Duration
    private let readiness: Readiness

    init(_ delay: Duration, _ readiness: Readiness) {
        self.delay = delay
        self.readiness = readiness
    }

    func run() async throws {
        try? await gracefulShutdown()
        self.readiness.drain()
        try await Task.sleep(for: self.delay)
    }
}
