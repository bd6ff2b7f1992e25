import NIOCore

/// What a subscribed connection has confirmed and when it was last heard, as a value without I/O.
struct SubscriptionState: Sendable, Equatable {
    enum Event: Sendable, Equatable {
        case nothing
        /// Every channel is confirmed: what is published from now on comes here.
        case subscribed
        case message(channel: ByteBuffer, payload: ByteBuffer)
        case pong(ByteBuffer)
        /// The connection is of no use any more.
        case failed(RedisError)
    }

    private let channelCount: Int
    private let silenceLimit: TimeAmount
    private var confirmed = 0
    private var lastHeard = NIODeadline.uptimeNanoseconds(0)

    /// - Parameter silenceLimit: a connection that sends nothing for this long is dead.
    init(channelCount: Int, silenceLimit: TimeAmount) {
        self.channelCount = channelCount
        self.silenceLimit = silenceLimit
    }

    var isSubscribed: Bool { confirmed == channelCount }

    mutating func connected(at now: NIODeadline) {
        confirmed = 0
        lastHeard = now
    }

    /// Any bytes came, also those of a message that has not ended.
    mutating func heard(at now: NIODeadline) {
        lastHeard = now
    }

    func isDead(at now: NIODeadline) -> Bool {
        now >= lastHeard + silenceLimit
    }

    mutating func received(_ value: RESPValue) -> Event {
        if let text = value.errorText {
            return .failed(RedisError(.refused, "Redis refuses the subscription: \(text.prefix { $0 != " " })."))
        }
        guard let parts = value.elements, let kind = parts.first?.bytes?.readableBytesView else { return .nothing }
        if parts.count == 3, kind.elementsEqual("message".utf8) {
            guard let channel = parts[1].bytes, let payload = parts[2].bytes else { return .nothing }
            return .message(channel: channel, payload: payload)
        }
        if parts.count == 2, kind.elementsEqual("pong".utf8) {
            return .pong(parts[1].bytes ?? ByteBuffer())
        }
        if parts.count == 3, kind.elementsEqual("subscribe".utf8) { return confirm() }
        return .nothing
    }

    private mutating func confirm() -> Event {
        guard confirmed < channelCount else { return .nothing }
        confirmed += 1
        return isSubscribed ? .subscribed : .nothing
    }
}
