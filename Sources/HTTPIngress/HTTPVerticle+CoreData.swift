import NIOCore
import ProgramCache
import TrackingModel
import TrackingPipeline
import Verticles

/// What became of pushed core data on one event loop.
public struct CoreDataCounts: Sendable {
    public var applied: UInt64 = 0
    public var ignored: UInt64 = 0
    /// Changes that had to be read back, as their push never came.
    public var gaps: UInt64 = 0
    /// Programs that can't be read.
    public var malformed: UInt64 = 0

    public init() {}
}

/// Programs on their way into memory: pushed, or read for those who wait.
extension HTTPVerticle {
    func apply(_ change: CoreDataChange) {
        guard let applied = self.pipeline?.cache.apply(change, now: self.clocks.read().monotonic) else { return }
        // What another loop has read is no change of core data.
        if case .program(_, .learned) = change { return }
        switch applied {
        case .applied: self.feed.applied &+= 1
        case .ignored: self.feed.ignored &+= 1
        }
        switch change {
        case .program(_, .verified) where applied == .applied, .deleted(_, _, .verified) where applied == .applied:
            self.feed.gaps &+= 1
        default:
            break
        }
    }

    /// True: the program has come already, and the request can go on.
    func load(_ id: Span<UInt8>, for connection: HTTPConnection) -> Bool {
        guard let id = ProgramID(bytes: id) else { return true }
        connection.isWaiting = true
        if self.pipeline?.cache.beginLoad(id, waiter: connection) == true { self.read(id) }
        // The connection's loop looks at `isWaiting` before it takes the same request again.
        return false
    }

    private func read(_ id: ProgramID) {
        guard let source = self.source, source.isReachable() else { return self.programRead(id, .unreachable) }
        source.read(id) { [weak self] reading in
            self?.enter { $0.programRead(id, reading) }
        }
    }

    private func programRead(_ id: ProgramID, _ reading: ProgramReading) {
        // A newer program may have come after the read: nobody is answered with less than another loop knows.
        self.changes?.deliver()
        if case .malformed = reading { self.feed.malformed &+= 1 }
        switch self.pipeline?.cache.endLoad(id, reading, now: self.clocks.read().monotonic) {
        case .readAgain:
            self.read(id)
        case .settled(let outcome, let waiters):
            // Before anybody is answered with it.
            if case .program(let program) = reading, program.version != nil {
                self.others?.publish(.program(program, origin: .learned), except: self.loop)
            }
            for waiter in waiters { waiter.programArrived(outcome) }
        case nil:
            break
        }
    }
}
