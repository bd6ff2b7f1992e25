import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import Testing

@testable import Verticles

/// Says when it was started and stopped, and where it ran.
private actor Recorder: Verticle {
    nonisolated let loop: any EventLoop
    private let executor: UnownedSerialExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor }
    nonisolated let instance: Int
    private let events: Received<String>
    private let fails: Bool
    private var calls = 0

    init(_ context: VerticleContext<any EventLoop>, _ events: Received<String>, fails: Bool = false) {
        self.loop = context.loop
        self.executor = context.loop.executor.asUnownedSerialExecutor()
        self.instance = context.instance
        self.events = events
        self.fails = fails
    }

    func start() async throws {
        self.loop.preconditionInEventLoop()
        if self.fails { throw Failure() }
        self.events.append("start \(self.instance)")
    }

    func stop() async {
        self.loop.preconditionInEventLoop()
        self.events.append("stop \(self.instance)")
    }

    func call() -> Int {
        self.calls += 1
        return self.calls
    }
}

private struct Failure: Error {}

@Suite("A deployment of verticles")
struct DeploymentTests {
    private let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    @Test("there is one instance for each event loop, or one at all")
    func instances() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 3)
        let events = Received<String>()
        let all = Deployment("all", on: group.makeIterator(), bus: EventBus(), logger: self.logger) {
            Recorder($0, events)
        }
        #expect(all.verticles.map(\.instance) == [0, 1, 2])
        #expect(Set(all.verticles.map { ObjectIdentifier($0.loop) }).count == 3)
        let one = Deployment("one", instances: .one, on: group.makeIterator(), bus: EventBus(), logger: self.logger) {
            Recorder($0, events)
        }
        #expect(one.verticles.count == 1)
        try await group.shutdownGracefully()
    }

    @Test("instances start in order on their loops, and a graceful shutdown stops each once")
    func life() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let events = Received<String>()
        let deployment = Deployment("life", on: group.makeIterator(), bus: EventBus(), logger: self.logger) {
            Recorder($0, events)
        }
        try await deployment.start()
        #expect(events.all == ["start 0", "start 1"])
        let services = ServiceGroup(services: [deployment], logger: self.logger)
        async let running: Void = services.run()
        await services.triggerGracefulShutdown()
        try await running
        #expect(Set(events.all.dropFirst(2)) == ["stop 0", "stop 1"])
        #expect(events.all.count == 4)
        try await group.shutdownGracefully()
    }

    @Test("a verticle that cannot start fails its deployment")
    func failure() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let events = Received<String>()
        let deployment = Deployment("failing", on: group.makeIterator(), bus: EventBus(), logger: self.logger) {
            Recorder($0, events, fails: $0.instance == 1)
        }
        await #expect(throws: Failure.self) { try await deployment.start() }
        #expect(events.all == ["start 0"])
        try await group.shutdownGracefully()
    }

    @Test("on its loop a verticle is entered synchronously")
    func synchronous() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let events = Received<String>()
        let deployment = Deployment("sync", on: group.makeIterator(), bus: EventBus(), logger: self.logger) {
            Recorder($0, events)
        }
        let verticle = deployment.verticles[0]
        let calls = try await verticle.loop.submit {
            (0..<1_000).map { _ in verticle.assumeIsolated { $0.call() } }
        }.get()
        #expect(calls == Array(1...1_000))
        #expect(await verticle.call() == 1_001)
        try await group.shutdownGracefully()
    }
}
