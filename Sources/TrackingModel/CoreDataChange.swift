/// A change of core data on its way to the cache of every event loop.
public enum CoreDataChange: Sendable {
    /// A program as it is now.
    case program(Program, origin: Origin)
    case deleted(ProgramID, version: Int64?, origin: Origin)
    /// A message without a version about a program that may have one: only a read can tell.
    case reread(ProgramID)
    /// The history is lost: every program that is held has to be compared with Redis.
    case recheckAll
    /// The embedded programs were replaced as a whole.
    case replacedAll

    public enum Origin: Sendable {
        /// Arrived on the channel.
        case pushed
        /// Read back from the change stream: a cache that is still older has missed a push.
        case verified
        /// Read by another event loop, which is about to answer with it.
        case learned
    }
}
