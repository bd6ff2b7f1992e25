public import Logging
public import ServiceLifecycle

/// The instances of one kind of verticle. `start` puts them to work; as a service they are stopped by a graceful shutdown,
/// and `run` returns when they are.
///
/// Deployments are started in the order of dependency, and the order of services in a group stops them in reverse.
public struct Deployment<Instance: Verticle>: Service {
    public enum Instances: Sendable {
        case one
        case perEventLoop
    }

    public let verticles: [Instance]
    private let name: String

    /// Makes the instances at once, so that others can be given them; they begin to work in `start`.
    public init<Loops: Sequence>(
        _ name: String,
        instances: Instances = .perEventLoop,
        on loops: Loops,
        bus: EventBus,
        logger: Logger,
        make: (VerticleContext<Loops.Element>) throws -> Instance
    ) rethrows where Loops.Element: Sendable {
        self.name = name
        var verticles: [Instance] = []
        for loop in loops where instances == .perEventLoop || verticles.isEmpty {
            let context = VerticleContext(loop: loop, instance: verticles.count, bus: bus, logger: logger)
            verticles.append(try make(context))
        }
        self.verticles = verticles
    }

    public func start() async throws {
        for verticle in self.verticles { try await verticle.start() }
    }

    public func run() async throws {
        try? await gracefulShutdown()
        await withTaskGroup(of: Void.self) { group in
            for verticle in self.verticles { group.addTask { await verticle.stop() } }
        }
    }
}
