public import Logging
public import NIOCore

/// An actor that lives on one event loop.
///
/// Its executor is the loop's, so the compiler keeps its state on that thread, and calls inside it are plain synchronous
/// calls. What the loop calls enters the verticle with `enter`, which costs no task and no hop.
public protocol Verticle: Actor {
    nonisolated var loop: any EventLoop { get }

    /// Returns when the verticle is at work.
    func start() async throws

    /// Returns when everything that it took on is finished. Called once, after `start` returned.
    func stop() async
}

extension Verticle {
    /// Runs `body` in the verticle at once; the caller is on its loop, which debug builds check.
    ///
    /// `assumeIsolated` says the same, but asks the concurrency runtime each time, which takes 400 instructions, twice a request.
    @inlinable @inline(__always)
    nonisolated public func enter<Result>(_ body: (isolated Self) -> Result) -> Result {
        self.loop.assertInEventLoop()
        // The isolation of a function is known to the compiler only; its value is that of a plain function.
        return withoutActuallyEscaping(body) { unsafeBitCast($0, to: ((Self) -> Result).self)(self) }
    }
}

/// A way into a verticle that is made once, for what happens at every request: each `enter` forms a closure, which takes two
/// allocations and 600 instructions.
public struct Entrance<Entered: Verticle, Argument>: Sendable {
    @usableFromInline let body: @Sendable (Entered, Argument) -> Void

    public init(_ body: @escaping @Sendable (isolated Entered, Argument) -> Void) {
        // As in `enter`.
        self.body = unsafeBitCast(body, to: (@Sendable (Entered, Argument) -> Void).self)
    }

    /// Runs in the verticle at once; the caller is on its loop, which debug builds check.
    @inlinable @inline(__always)
    public func callAsFunction(_ verticle: Entered, _ argument: Argument) {
        verticle.loop.assertInEventLoop()
        self.body(verticle, argument)
    }
}

/// What a verticle is given when it is deployed.
///
/// `Loop` is the kind of loop that it lives on, for those who need more of it than every loop has.
public struct VerticleContext<Loop: Sendable>: Sendable {
    public let loop: Loop
    /// From 0; counts the instances of one deployment.
    public let instance: Int
    public let bus: EventBus
    public let logger: Logger

    public init(loop: Loop, instance: Int, bus: EventBus, logger: Logger) {
        self.loop = loop
        self.instance = instance
        self.bus = bus
        self.logger = logger
    }
}
