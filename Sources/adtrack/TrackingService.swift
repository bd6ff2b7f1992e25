import CoreDataFeed
import CoreMetrics
import EventJournal
import HTTPIngress
import Logging
import NIOCore
import ProgramCache
import Reactor
import RedisClient
import ServiceLifecycle
import Telemetry
import TrackingModel
import Verticles

/// The tracking service, put together: what `adtrack serve` runs.
///
///     the event      HTTP → pipeline → (L1 → Redis on a miss) → journal → sinks
///     the core data  Redis channel or file → bus → L1 of every event loop
struct TrackingService {
    let configuration: ServeConfiguration
    let logger: Logger
    let registry = MetricsRegistry(help: MetricHelp.texts)
    let readiness = Readiness()
    let bus = EventBus()

    /// A loop that is this many changes behind reads again what it holds.
    let changes = Address<CoreDataChange>(
        "core-data.changes",
        capacity: 65_536,
        overflow: .replaceAll(with: .recheckAll)
    )

    init(_ configuration: ServeConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Returns when a signal has ended it and everything is safe.
    func run() async throws {
        MetricsSystem.bootstrap(self.registry)
        self.registerSeries()
        // The hot loops, and one for what may take its time.
        let hot = try (0..<self.configuration.eventLoops).map { _ in try ReactorLoop() }
        let side = try ReactorLoop()
        let connections = ProcessLimits.connections(wanted: self.configuration.maxConnections)

        let journal = try self.openJournal()
        let sinks = try SinkDeployment(
            self.configuration.sinks,
            reading: journal,
            in: self.configuration.journal.directory,
            logger: self.logger
        )
        let coreData = try self.deployCoreData(to: hot)
        let tracking = self.deployTracking(on: hot, journal, coreData.sources, maximumConnections: connections)
        let management = self.deployManagement(on: side, tracking, journal)

        try await coreData.start()
        try await management.start()
        try await tracking.start()
        // Stopped in reverse: no more requests, then nothing that feeds them, then the sinks, and the journal last.
        let services: [any Service] =
            [JournalKeeping(journal: journal), sinks] + coreData.services
            + [management.deployment, tracking.deployment, DrainDelay(self.configuration.drainDelay, self.readiness)]
            + [Announcement(logger: self.logger, http: tracking.address, management: management.address)]
        try await self.live(services, journal)
    }

    /// Every series exists from the start, whatever core data comes from.
    private func registerSeries() {
        RedisClient.registerMetrics()
        _ = Counter(label: "adtrack_core_data_updates_total", dimensions: [("result", "malformed")])
    }

    // MARK: The pieces, in the order in which they depend on each other

    /// What opening the journal may take without a word: it is the one thing that a start waits for.
    private static let unremarkableStart = Duration.seconds(1)

    private func openJournal() throws -> EventJournal {
        let began = ContinuousClock.now
        let journal = try EventJournal.open(
            self.configuration.journal,
            sinks: self.configuration.sinks.addresses.map(\.name),
            logger: self.logger
        )
        let took = ContinuousClock.now - began
        if took > Self.unremarkableStart {
            self.logger.notice(
                "the journal took long to open: a slow disk, or a large backlog",
                metadata: ["start_ms": "\(took / .milliseconds(1))"]
            )
        }
        self.readiness.require("journal") { journal.refusal == nil }
        return journal
    }

    private func deployTracking(
        on loops: [ReactorLoop],
        _ journal: EventJournal,
        _ sources: [ObjectIdentifier: ProgramSource],
        maximumConnections: Int
    ) -> Port {
        let listener = Listener(
            host: self.configuration.host,
            port: self.configuration.port,
            maximumConnections: maximumConnections,
            isShared: self.configuration.eventLoops > 1
        )
        let deployment = Deployment("tracking", on: loops, bus: self.bus, logger: self.logger) { context in
            HTTPVerticle(
                context,
                configuration: self.configuration.ingress,
                listener: listener,
                routes: [Management.alive, Management.ready(self.readiness)],
                tracking: HTTPVerticle.Tracking(
                    cache: self.configuration.cache,
                    source: sources[ObjectIdentifier(context.loop)] ?? .none,
                    journal: journal,
                    changes: self.changes
                )
            )
        }
        return Port(listener: listener, deployment: deployment, host: self.configuration.host)
    }

    private func deployManagement(
        on side: ReactorLoop,
        _ tracking: Port,
        _ journal: EventJournal
    ) -> Port {
        let listener = Listener(
            host: self.configuration.managementHost,
            port: self.configuration.managementPort,
            // A person, a scraper and a probe or two.
            maximumConnections: 32,
            isShared: false
        )
        let management = Management(
            tracking: tracking.deployment.verticles,
            journal: journal,
            readiness: self.readiness,
            registry: self.registry
        )
        let deployment = Deployment("management", instances: .one, on: [side], bus: self.bus, logger: self.logger) {
            HTTPVerticle($0, configuration: IngressConfiguration(), listener: listener, routes: management.routes)
        }
        return Port(listener: listener, deployment: deployment, host: self.configuration.managementHost)
    }
}

/// A listener with the verticles behind it.
struct Port {
    let listener: Listener
    let deployment: Deployment<HTTPVerticle>
    let host: String

    /// Where it really listens.
    var address: String {
        guard let bound = self.listener.address, let port = bound.port else { return "?" }
        let host = bound.ipAddress ?? self.host
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    func start() async throws {
        do {
            try await self.deployment.start()
        } catch {
            let place = "\(self.host) port \(self.listener.port)"
            throw StartError("can't listen on \(place): \(error); stop what is there, or choose another host or port")
        }
    }
}
