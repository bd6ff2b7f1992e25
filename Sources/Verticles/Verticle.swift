public import Logging
public import NIOCore

/// An actor that lives on one event loop.
///
/// Its executor is the loop's, so the compiler keeps its state on that thread, and calls inside it are plain synchronous
/// calls. What NIO calls on the loop enters the verticle with `assumeIsolated`, which checks the thread and costs no task.
public protocol Verticle: Actor {
    nonisolated var loop: any EventLoop { get }

    /// Returns when the verticle is at work.
    func start() async throws

    /// Returns when everything that it took on is finished. Called once, after `start` returned.
    func stop() async
}

/// What a verticle is given when it is deployed.
public struct VerticleContext: Sendable {
    public let loop: any EventLoop
    /// From 0; counts the instances of one deployment.
    public let instance: Int
    public let bus: EventBus
    public let logger: Logger

    public init(loop: any EventLoop, instance: Int, bus: EventBus, logger: Logger) {
        self.loop = loop
        self.instance = instance
        self.bus = bus
        self.logger = logger
    }
}
