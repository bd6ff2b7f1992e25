public import NIOCore

/// Commands that leave in one write, in one piece of memory.
///
///     pipeline.begin(command)     // whole, or without its last arguments, which then follow
///     pipeline.append(argument)
public struct RedisPipeline: Sendable {
    private(set) var encoded: ByteBuffer
    /// Where in it each command begins.
    private var starts: [Int] = []
    private var missingArguments = 0

    /// - Parameters:
    ///   - commands: about how many there will be.
    ///   - bytes: how many they take, about.
    public init(commands: Int, bytes: Int) {
        self.encoded = ByteBufferAllocator().buffer(capacity: bytes)
        self.starts.reserveCapacity(commands)
    }

    public var count: Int { self.starts.count }
    /// Whether the last command has all its arguments.
    var isComplete: Bool { self.missingArguments == 0 }

    /// Bytes on the wire, of each command.
    var sizes: some Sequence<Int> {
        zip(self.starts, self.starts.dropFirst() + [self.encoded.readableBytes]).lazy.map { $1 - $0 }
    }

    public mutating func begin(_ command: RedisCommand) {
        assert(self.isComplete, "the command before lacks arguments")
        self.starts.append(self.encoded.readableBytes)
        self.missingArguments = command.missingArguments
        self.encoded.writeImmutableBuffer(command.encoded)
    }

    public mutating func append(_ argument: ByteBuffer) {
        argument.withUnsafeReadableBytes { self.append($0) }
    }

    public mutating func append(_ argument: StaticString) {
        self.append(UnsafeRawBufferPointer(start: argument.utf8Start, count: argument.utf8CodeUnitCount))
    }

    private mutating func append(_ argument: UnsafeRawBufferPointer) {
        assert(self.missingArguments > 0, "more arguments than the command announced")
        self.missingArguments -= 1
        self.encoded.writeArgument(argument)
    }
}
