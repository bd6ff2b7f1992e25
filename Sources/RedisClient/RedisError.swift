/// Why a command has no reply, or a setting no meaning: a code to decide by and a sentence for people.
///
/// An error *answer* of Redis (`WRONGTYPE …`) is a reply, not one of these: see ``RESPValue/error(_:)``.
public struct RedisError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: Sendable, Hashable {
        private enum Kind: Sendable {
            case disconnected, timeout, overloaded, violation, refused, stopped, configuration
        }
        private let kind: Kind

        /// There is no usable connection, or it was lost before the reply came.
        public static let disconnected = Code(kind: .disconnected)
        /// The reply did not come within the deadline; Redis may have carried out the command.
        public static let timeout = Code(kind: .timeout)
        /// The bound of outstanding commands or bytes is reached; nothing was sent.
        public static let overloaded = Code(kind: .overloaded)
        /// The peer broke the protocol or one of the bounds on replies; the connection is closed.
        public static let violation = Code(kind: .violation)
        /// The server answered the greeting with an error: wrong password, loading, no master.
        public static let refused = Code(kind: .refused)
        /// The client was stopped.
        public static let stopped = Code(kind: .stopped)
        /// A setting cannot be understood.
        public static let configuration = Code(kind: .configuration)
    }

    public let code: Code
    /// One sentence; never holds a password or a value from core data.
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    static let disconnected = RedisError(.disconnected, "There is no connection to Redis.")
    static let timeout = RedisError(.timeout, "Redis did not answer in time.")
    static let overloaded = RedisError(.overloaded, "Too many commands wait for Redis.")
    static let notTrusted = RedisError(
        .refused,
        "No encrypted connection to Redis: its certificate is not trusted for this host, or no TLS is spoken there."
    )
    static let stopped = RedisError(.stopped, "The Redis client was stopped.")
}
