import Synchronization
public import TrackingModel

/// The programs of a file or of the built-in sample: one table, replaced as a whole, read from every event loop.
public final class EmbeddedPrograms: Sendable {
    private let table: Mutex<[ProgramID: Program]>

    public init(_ programs: [Program]) {
        table = Mutex(Self.table(of: programs))
    }

    public var count: Int { table.withLock { $0.count } }

    public func program(_ id: ProgramID) -> Program? {
        table.withLock { $0[id] }
    }

    public func replace(with programs: [Program]) {
        let new = Self.table(of: programs)
        // The old table is freed outside the lock.
        let old = table.withLock { held in
            defer { held = new }
            return held
        }
        withExtendedLifetime(old) {}
    }

    private static func table(of programs: [Program]) -> [ProgramID: Program] {
        Dictionary(programs.map { ($0.id, $0) }) { _, last in last }
    }
}
