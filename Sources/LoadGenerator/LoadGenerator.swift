import Glibc
import NIOCore
import Reactor

/// Runs a plan against a service over HTTP/1.1, on one thread of its own.
public struct LoadGenerator: Sendable {
    private let progress: @Sendable (LoadProgress) -> Void

    /// `progress` is called once a second, on the generator's own thread.
    public init(progress: @escaping @Sendable (LoadProgress) -> Void = { _ in }) {
        self.progress = progress
    }

    /// Returns when every request that was due is answered or has failed, at most twice `timeout` after the profile's end.
    ///
    /// A cancelled task ends it early with the figures so far. Throws ``LoadError`` when no connection can be opened.
    public func run(_ plan: LoadPlan) async throws -> LoadResult {
        try plan.validate()
        try Self.allowDescriptors(plan.connections)
        let loop = try ReactorLoop()
        do {
            let result = try await run(plan, on: loop)
            try await loop.shutdownGracefully()
            return result
        } catch {
            try? await loop.shutdownGracefully()
            throw error
        }
    }

    private func run(_ plan: LoadPlan, on loop: ReactorLoop) async throws -> LoadResult {
        let address: SocketAddress
        do {
            address = try SocketAddress.makeAddressResolvingHost(plan.target.host, port: plan.target.port)
        } catch {
            throw LoadError("the host '\(plan.target.host)' has no address")
        }
        let done = loop.makePromise(of: LoadResult.self)
        let run = try await loop.submit { [progress] in
            let run = try LoadRun(plan: plan, address: address, loop: loop, done: done, progress: progress)
            run.begin()
            return NIOLoopBound(run, eventLoop: loop)
        }.get()
        return try await withTaskCancellationHandler {
            try await done.futureResult.get()
        } onCancel: {
            loop.execute { run.value.stop() }
        }
    }

    /// Raises the soft limit of open files where the hard one allows it.
    private static func allowDescriptors(_ connections: Int) throws {
        var limit = rlimit()
        let needed = rlim_t(connections + 64)
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < needed else {
            return
        }
        guard limit.rlim_max >= needed else {
            throw LoadError("\(connections) connections need more open files than `ulimit -Hn` allows")
        }
        limit.rlim_cur = needed
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

extension LoadPlan {
    /// One sentence about the first value that is out of its range.
    public func validate() throws {
        guard (1...Self.mostConnections).contains(connections) else {
            throw LoadError("the number of connections must be 1 to \(Self.mostConnections)")
        }
        guard (1...Self.deepestPipeline).contains(pipeline) else {
            throw LoadError("the pipelining depth must be 1 to \(Self.deepestPipeline)")
        }
        guard profile.rate >= 0.1, profile.rate <= Self.highestRate else {
            throw LoadError("the rate must be 0.1 to \(Int(Self.highestRate)) requests a second")
        }
        guard profile.duration >= .milliseconds(10), profile.duration <= Self.longestDuration else {
            throw LoadError("the duration must be 10ms to 24h")
        }
        guard timeout >= .milliseconds(1), timeout <= .seconds(600) else {
            throw LoadError("the timeout must be 1ms to 10m")
        }
    }
}
