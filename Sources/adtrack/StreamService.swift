import CoreMetrics
import HTTPIngress
import Logging
import Reactor
import RedisClient
import ServiceLifecycle
import StreamSource
import Telemetry
import Verticles

/// A consumer with its management port, its progress and its signals: what `consume` and `update` run.
struct StreamService<Handler: RecordHandler> {
    let consumer: StreamConsumer<Handler>
    let words: StreamWords
    let configuration: StreamConfiguration
    let logger: Logger
    /// As the line says which tells that it runs.
    let route: (from: String, to: String)

    private let registry = MetricsRegistry(help: MetricHelp.texts)
    private let readiness = Readiness()

    init(
        _ consumer: StreamConsumer<Handler>,
        words: StreamWords,
        configuration: StreamConfiguration,
        route: (from: String, to: String),
        logger: Logger
    ) {
        self.consumer = consumer
        self.words = words
        self.configuration = configuration
        self.route = route
        self.logger = logger
    }

    /// Returns when the source has ended, or a signal has ended it and what was read is stored.
    func run() async throws {
        let consumer = self.consumer
        for part in ConsumerBooks.Part.allCases {
            self.readiness.require(self.words.name(of: part)) { !consumer.books.broken.contains(part) }
        }
        MetricsSystem.bootstrap(self.registry)
        RedisClient.registerMetrics()
        let words = self.words
        self.registry.collect { words.families(consumer.books) }
        let management = self.management(on: try ReactorLoop())
        try await management.start()
        let announcement = StreamAnnouncement(
            words: words,
            route: self.route,
            management: management.address,
            logger: self.logger
        )
        let progress = StreamProgress(words: words, logger: self.logger) { consumer.books }
        try await self.live([management.deployment, progress], consumer, announcement)
        progress.finish()
    }

    private func live(
        _ services: [any Service],
        _ consumer: StreamConsumer<Handler>,
        _ announcement: StreamAnnouncement
    ) async throws {
        var configurations = services.map { ServiceGroupConfiguration.ServiceConfiguration(service: $0) }
        configurations.append(.init(service: consumer, successTerminationBehavior: .gracefullyShutdownGroup))
        configurations.append(.init(service: announcement))
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: configurations,
                logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }
            )
        )
        let readiness = self.readiness
        let signals = SignalWatch(
            logger: self.logger,
            drain: {
                readiness.drain()
                await group.triggerGracefulShutdown()
            },
            endNow: {}
        ).begin()
        try await group.run()
        withExtendedLifetime(signals) {}
    }

    private func management(on side: ReactorLoop) -> Port {
        let host = self.configuration.managementHost
        let listener = Listener(
            host: host,
            port: self.configuration.managementPort,
            maximumConnections: 32,
            isShared: false
        )
        let registry = self.registry
        let routes = [
            Route(
                "/metrics",
                handler: .deferred {
                    let families = await registry.families()
                    return Answer(
                        status: 200,
                        contentType: PrometheusText.contentType,
                        body: PrometheusText.render(families)
                    )
                }
            ),
            Management.alive, Management.ready(self.readiness),
        ]
        let deployment = Deployment("management", instances: .one, on: [side], bus: EventBus(), logger: self.logger) {
            HTTPVerticle($0, configuration: IngressConfiguration(), listener: listener, routes: routes)
        }
        return Port(listener: listener, deployment: deployment, host: host)
    }
}

/// Says that it runs, once signals are seen.
struct StreamAnnouncement: Service {
    let words: StreamWords
    let route: (from: String, to: String)
    let management: String
    let logger: Logger

    func run() async throws {
        self.logger.info(
            self.words.running,
            metadata: ["from": "\(self.route.from)", "to": "\(self.route.to)", "management": "\(self.management)"]
        )
        try? await gracefulShutdown()
    }
}
