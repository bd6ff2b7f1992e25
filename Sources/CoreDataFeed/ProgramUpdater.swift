public import Logging
public import NIOCore
public import RedisClient
public import StreamSource
import TrackingModel

/// Writes a stream's programs into Redis, where each write is one atomic, versioned and published step.
///
/// An older version never overwrites a newer one, so a record that is read twice does no harm.
public struct ProgramUpdater: RecordHandler {
    private let client: RedisClient
    private let store: ProgramStore
    /// For a stream whose positions nobody else keeps.
    public let leases: RedisLeases

    public init(_ redis: RedisConfiguration, keys: CoreDataKeys, on loop: any EventLoop, logger: Logger) {
        self.client = RedisClient(redis, on: loop, logger: logger)
        self.store = ProgramStore(self.client, keys: keys)
        self.leases = RedisLeases(self.client, key: "adtrack.core-data")
    }

    public var isOrdered: Bool { true }

    public func start() async { await self.client.start() }

    public func stop() async { await self.client.stop() }

    public func item(of record: StreamRecord) throws(Damage) -> ProgramUpdate { try ProgramUpdate(json: record.bytes) }

    public func time(of item: ProgramUpdate) -> Int64? { nil }

    /// Positions are kept after the programs; what is written again in between is not newer.
    public func store(_ items: [ProgramUpdate], checkpoints: [Checkpoint]) async throws(StreamFailure) -> StoreResult {
        let result = try await self.write(items)
        if case .partly = result { return result }
        try await self.leases.keep(checkpoints)
        return result
    }

    private func write(_ items: [ProgramUpdate]) async throws(StreamFailure) -> StoreResult {
        guard !items.isEmpty else { return .stored(0, duplicates: 0) }
        do throws(RedisError) {
            try await self.client.waitUntilReady(for: .seconds(1))
        } catch {
            throw StreamFailure(error.description)
        }
        var applied = 0
        var refused: [Int: Damage] = [:]
        for (place, result) in await self.store.apply(items).enumerated() {
            switch result {
            case .success(.applied): applied += 1
            case .success(.notNewer), .success(.unknown): break
            case .failure(let error) where error.isOfOneProgram:
                refused[place] = Damage(.invalidProgram, error.description)
            case .failure(let error): throw StreamFailure(error.description)
            }
        }
        let rest = items.count - applied - refused.count
        return refused.isEmpty
            ? .stored(applied, duplicates: rest) : .partly(applied, duplicates: rest, refused: refused)
    }
}
