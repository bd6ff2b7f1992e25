import CHiredis
import NIOCore

/// The elements of the reply hiredis is reading, flat and in the order they arrive.
///
/// A value in memory of its own, reached only through the pointer that hiredis hands back to the callbacks: as a class's
/// fields, each string of a reply would pay for the run-time checks of exclusive access.
struct ReplyArena {
    private enum Token {
        case status(offset: Int, length: Int)
        case error(offset: Int, length: Int)
        case bulk(offset: Int, length: Int)
        case integer(Int64)
        case null
        case array(count: Int)
    }

    /// Room that is kept from reply to reply, in bytes and elements.
    private static let keptBytes = 64 * 1024
    private static let keptTokens = 1024

    private let limits: ReplyReader.Limits
    private var tokens: [Token] = []
    private var bytes: [UInt8] = []
    private var announcedElements = 0
    /// Set when a bound was broken; hiredis then reports an error for the whole connection.
    private(set) var brokenLimit: RedisError?

    init(limits: ReplyReader.Limits) {
        self.limits = limits
    }

    var byteCount: Int { bytes.count }

    /// The value of the complete reply; the arena is empty afterwards.
    mutating func takeValue() -> RESPValue {
        let storage = bytes.isEmpty ? ByteBuffer() : ByteBuffer(bytes: bytes)
        var next = 0
        let value = value(at: &next, in: storage)
        tokens.removeAll(keepingCapacity: tokens.capacity <= Self.keptTokens)
        bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptBytes)
        announcedElements = 0
        return value
    }

    /// Recursion is as deep as the reply; hiredis refuses more than seven levels.
    private func value(at next: inout Int, in storage: ByteBuffer) -> RESPValue {
        guard next < tokens.count else { return .null }
        let token = tokens[next]
        next += 1
        switch token {
        case .bulk(let offset, let length): return .bulk(slice(storage, offset, length))
        case .status(let offset, let length): return .status(slice(storage, offset, length))
        case .error(let offset, let length): return .error(String(buffer: slice(storage, offset, length)))
        case .integer(let value): return .integer(value)
        case .null: return .null
        case .array(let count): return .array(elements(count, at: &next, in: storage))
        }
    }

    private func elements(_ count: Int, at next: inout Int, in storage: ByteBuffer) -> RESPArray {
        if count > 0, let places = places(ofStrings: count, from: next) {
            next += count
            return RESPArray(strings: storage, at: places)
        }
        var elements: [RESPValue] = []
        elements.reserveCapacity(count)
        for _ in 0..<count { elements.append(value(at: &next, in: storage)) }
        return RESPArray(elements)
    }

    /// Where the next elements are, if each of them is a bulk string.
    private func places(ofStrings count: Int, from next: Int) -> [Range<Int>]? {
        guard next < tokens.count, case .bulk = tokens[next] else { return nil }
        var places: [Range<Int>] = []
        places.reserveCapacity(count)
        for token in tokens[next...].prefix(count) {
            guard case .bulk(let offset, let length) = token else { return nil }
            places.append(offset..<offset + length)
        }
        return places.count == count ? places : nil
    }

    private func slice(_ storage: ByteBuffer, _ offset: Int, _ length: Int) -> ByteBuffer {
        storage.getSlice(at: offset, length: length) ?? ByteBuffer()
    }
}

/// The callbacks of hiredis; each returns something other than NULL for "taken" and NULL for "refused".
extension ReplyArena {
    static var functions: redisReplyObjectFunctions {
        redisReplyObjectFunctions(
            createString: { task, text, length in
                guard let task, let arena = ReplyArena.of(task) else { return nil }
                return arena.pointee.appendString(type: task.pointee.type, text, length) ? task.pointee.privdata : nil
            },
            createArray: { task, count in
                guard let task, let arena = ReplyArena.of(task) else { return nil }
                return arena.pointee.appendArray(count: Int(count)) ? task.pointee.privdata : nil
            },
            createInteger: { task, value in
                guard let task, let arena = ReplyArena.of(task) else { return nil }
                arena.pointee.tokens.append(.integer(Int64(value)))
                return task.pointee.privdata
            },
            createNil: { task in
                guard let task, let arena = ReplyArena.of(task) else { return nil }
                arena.pointee.tokens.append(.null)
                return task.pointee.privdata
            },
            freeObject: { _ in }
        )
    }

    private static func of(_ task: UnsafePointer<redisReadTask>) -> UnsafeMutablePointer<ReplyArena>? {
        task.pointee.privdata?.assumingMemoryBound(to: ReplyArena.self)
    }

    private mutating func appendString(type: CInt, _ text: UnsafePointer<CChar>?, _ length: Int) -> Bool {
        guard length <= limits.bytes - bytes.count else {
            brokenLimit = RedisError(.violation, "A reply of Redis is larger than \(limits.bytes) bytes.")
            return false
        }
        let offset = bytes.count
        if let text { bytes.append(contentsOf: UnsafeRawBufferPointer(start: text, count: length)) }
        switch type {
        case REDIS_REPLY_ERROR: tokens.append(.error(offset: offset, length: length))
        case REDIS_REPLY_STATUS: tokens.append(.status(offset: offset, length: length))
        default: tokens.append(.bulk(offset: offset, length: length))
        }
        return true
    }

    private mutating func appendArray(count: Int) -> Bool {
        guard count >= 0, count <= limits.elements - announcedElements else {
            brokenLimit = RedisError(.violation, "A reply of Redis has more than \(limits.elements) elements.")
            return false
        }
        announcedElements += count
        tokens.append(.array(count: count))
        return true
    }
}
