/// A place on the event bus, typed by what is sent there.
///
/// Its mailboxes are bounded: one for each consumer, and what happens at the bound is written here.
public struct Address<Message: Sendable>: Sendable {
    public enum Overflow: Sendable {
        /// The new message is not taken; `send` says so, and it is counted.
        case refuseNewest
        /// Everything that waits gives way to this one message, which says what to do about the loss.
        case replaceAll(with: Message)
    }

    public let name: String
    /// Messages that may wait for one consumer.
    public let capacity: Int
    public let overflow: Overflow

    public init(_ name: String, capacity: Int, overflow: Overflow) {
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
    }
}

/// A question on the bus with the way back for its answer.
public struct Request<Question: Sendable, Answer: Sendable>: Sendable {
    public let question: Question
    private let answer: @Sendable (Answer) -> Void

    init(question: Question, answer: @escaping @Sendable (Answer) -> Void) {
        self.question = question
        self.answer = answer
    }

    /// To be called once.
    public func reply(_ answer: Answer) { self.answer(answer) }
}
