import NIOCore
import RedisClient
import TrackingModel

/// Reads the stream that keeps the latest changes.
struct ChangeStream: Sendable {
    /// Where a reader is: the id of the last entry it has seen.
    typealias Position = String

    /// One page of the stream, as seen from a position.
    struct Page: Equatable {
        /// Whether the entry at the position is still there: if not, the stream was trimmed past it, emptied, or is
        /// another one, and nobody knows what is missing.
        var isContinuous: Bool
        /// The changes after the position, oldest first; nil is an entry without one.
        var messages: [ByteBuffer?]
        /// The position after this page.
        var end: Position
        /// Whether more may follow.
        var isFull: Bool
    }

    /// The position before the first entry of a stream that is empty.
    static let beginning: Position = "0-0"
    /// With 64 KiB an entry a page stays below what a reply may have.
    static let pageEntries = 200

    let client: RedisClient
    let key: String

    /// The position after the last entry there is.
    func end() async throws(RedisError) -> Position {
        let reply = try await client.send(RedisCommand("XREVRANGE", key, "+", "-", "COUNT", "1"))
        guard let entries = reply.elements else { throw Self.unreadable(reply) }
        return try entries.first.map(Self.entry)?.id ?? Self.beginning
    }

    /// The page after `position`; the entry there is asked for too, to see that it is the same stream.
    func page(after position: Position) async throws(RedisError) -> Page {
        let from = position == Self.beginning ? "-" : position
        let reply = try await client.send(RedisCommand("XRANGE", key, from, "+", "COUNT", "\(Self.pageEntries)"))
        guard let elements = reply.elements else { throw Self.unreadable(reply) }
        var entries: [(id: Position, message: ByteBuffer?)] = []
        for element in elements { entries.append(try Self.entry(element)) }
        let isFull = entries.count == Self.pageEntries
        var isContinuous = true
        if position != Self.beginning {
            isContinuous = entries.first?.id == position
            if isContinuous { entries.removeFirst() }
        }
        return Page(
            isContinuous: isContinuous,
            messages: entries.map(\.message),
            end: entries.last?.id ?? position,
            isFull: isFull
        )
    }

    private static func entry(_ value: RESPValue) throws(RedisError) -> (id: Position, message: ByteBuffer?) {
        guard let parts = value.elements, parts.count == 2, let id = parts[0].text else { throw unreadable(value) }
        var message: ByteBuffer?
        let arePairs = parts[1].forEachPair { field, value in
            if field.equals("program") { message = value.withUnsafeBytes { ByteBuffer(bytes: $0) } }
        }
        return (id, arePairs ? message : nil)
    }

    /// - Returns: a `configuration` error where this Redis or this user will never let the stream be read.
    private static func unreadable(_ reply: RESPValue) -> RedisError {
        if let text = reply.errorText, text.hasPrefix("NOPERM") || text.hasPrefix("ERR unknown command") {
            return RedisError(.configuration, "Redis does not let this user read the change stream.")
        }
        let word = reply.errorText.map { String($0.prefix { $0 != " " }) } ?? "another form"
        return RedisError(.refused, "The change stream cannot be read: \(word).")
    }
}
