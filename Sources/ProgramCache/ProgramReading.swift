public import TrackingModel

/// What the source of programs said about one id.
public enum ProgramReading: Sendable {
    case program(Program)
    /// Authoritative: there is none.
    case absent
    case malformed(MalformedProgram)
    /// No answer, or not in time. Says nothing about the program.
    case unreachable
}

/// Where programs come from when the cache doesn't hold them. One for each event loop.
public struct ProgramSource: Sendable {
    /// Whether a read can be expected to succeed now. Call it on the loop.
    public let isReachable: @Sendable () -> Bool
    /// Reads one program; `completion` is called once, on the loop, perhaps before `read` returns.
    public let read: @Sendable (_ id: ProgramID, _ completion: @escaping @Sendable (ProgramReading) -> Void) -> Void

    public init(
        isReachable: @escaping @Sendable () -> Bool,
        read: @escaping @Sendable (ProgramID, @escaping @Sendable (ProgramReading) -> Void) -> Void
    ) {
        self.isReachable = isReachable
        self.read = read
    }
}
