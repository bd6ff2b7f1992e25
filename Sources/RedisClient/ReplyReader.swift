import CHiredis
import NIOCore

/// hiredis' reply reader behind one type: bytes in, values out, and a bound on everything a peer can make it hold.
///
/// hiredis calls back for each element; the callbacks append to a flat list, so no tree of C objects is ever allocated.
final class ReplyReader {
    /// The bounds of one reply, whether finished or not.
    struct Limits: Sendable, Hashable {
        /// Payload of one reply, in bytes.
        var bytes: Int
        /// Elements of one reply, counted over all its arrays, before anything is allocated for them.
        var elements: Int
        /// A line (status, error, number, header) that has not ended yet, in bytes.
        static let unfinishedLine = 64 * 1024
    }

    private let reader: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let arena: UnsafeMutablePointer<ReplyArena>
    private let limits: Limits

    /// - Returns: nil where there is no memory for a reader.
    init?(limits: Limits) {
        let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        functions.initialize(to: ReplyArena.functions)
        guard let reader = redisReaderCreateWithFunctions(functions) else {
            functions.deallocate()
            return nil
        }
        self.arena = UnsafeMutablePointer<ReplyArena>.allocate(capacity: 1)
        self.arena.initialize(to: ReplyArena(limits: limits))
        self.limits = limits
        self.functions = functions
        self.reader = reader
        // The arena lives as long as this object, which frees the reader first.
        reader.pointee.privdata = UnsafeMutableRawPointer(arena)
    }

    deinit {
        redisReaderFree(reader)
        arena.deinitialize(count: 1)
        arena.deallocate()
        functions.deallocate()
    }

    /// Takes bytes as they come from the connection and gives every reply that is complete now to `body`.
    ///
    /// After an error the reader is spent: the connection has to be closed.
    func read(_ bytes: ByteBuffer, _ body: (RESPValue) -> Void) throws(RedisError) {
        let fed = bytes.withUnsafeReadableBytes {
            redisReaderFeed(reader, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
        }
        guard fed == REDIS_OK else { throw violation() }
        while true {
            var reply: UnsafeMutableRawPointer?
            guard redisReaderGetReply(reader, &reply) == REDIS_OK else { throw violation() }
            guard reply != nil else { break }
            body(arena.pointee.takeValue())
        }
        try checkUnfinished()
    }

    private func checkUnfinished() throws(RedisError) {
        let unparsed = adtrack_reader_unparsed(reader)
        guard unparsed + arena.pointee.byteCount <= limits.bytes else {
            throw RedisError(.violation, "A reply of Redis is larger than \(limits.bytes) bytes.")
        }
        if unparsed > Limits.unfinishedLine, adtrack_reader_waits_for_line(reader) != 0 {
            throw RedisError(.violation, "A line from Redis does not end.")
        }
    }

    private func violation() -> RedisError {
        if let broken = arena.pointee.brokenLimit { return broken }
        return RedisError(.violation, "What the peer sends is not the Redis protocol.")
    }
}

@available(*, unavailable)
extension ReplyReader: Sendable {}
