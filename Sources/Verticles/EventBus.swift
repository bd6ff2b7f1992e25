import NIOConcurrencyHelpers
public import NIOCore

/// Carries messages between verticles, whatever loop they live on.
///
/// `publish` reaches every consumer of an address, `send` one of them in turn, `request` waits for that one's answer.
public final class EventBus: Sendable {
    private let topics = NIOLockedValueBox<[String: any Sendable]>([:])

    public init() {}

    /// The consumers of an address. Ask once and keep it where messages are frequent.
    public func topic<Message>(_ address: Address<Message>) -> Topic<Message> {
        self.topics.withLockedValue { topics in
            if let topic = topics[address.name] as? Topic<Message> { return topic }
            precondition(topics[address.name] == nil, "two types of message at \(address.name)")
            let topic = Topic(address)
            topics[address.name] = topic
            return topic
        }
    }

    /// From now on `receive` is called on the loop for each message.
    @discardableResult
    public func consumer<Message>(
        _ address: Address<Message>,
        on loop: any EventLoop,
        receive: @escaping @Sendable (Message) -> Void
    ) -> Mailbox<Message> {
        self.topic(address).consumer(on: loop, receive: receive)
    }

    public func publish<Message>(_ address: Address<Message>, _ message: Message) {
        self.topic(address).publish(message)
    }

    /// False: nobody consumes, or the mailbox whose turn it is is full.
    @discardableResult
    public func send<Message>(_ address: Address<Message>, _ message: Message) -> Bool {
        self.topic(address).send(message)
    }

    /// The answer of one consumer; nil when none takes the question.
    public func request<Question, Answer>(
        _ address: Address<Request<Question, Answer>>,
        _ question: Question
    ) async -> Answer? {
        await withCheckedContinuation { continuation in
            let request = Request<Question, Answer>(question: question) { continuation.resume(returning: $0) }
            if !self.send(address, request) { continuation.resume(returning: nil) }
        }
    }
}
