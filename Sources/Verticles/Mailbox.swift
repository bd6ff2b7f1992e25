public import NIOCore
import Synchronization

/// Messages on their way to one consumer, which lives on an event loop.
///
/// A wake-up delivers them; the consumer may also fetch them earlier with `deliver`, before it goes on with other work.
/// It does so to see everything that was sent before that work arrived.
public final class Mailbox<Message: Sendable>: Sendable {
    public let loop: any EventLoop
    private let topic: Topic<Message>
    private let index: Int
    private let receive: @Sendable (Message) -> Void
    /// Lets `deliver` pass without the lock while nothing waits. Written under the topic's lock.
    let isEmpty = Atomic(true)

    init(
        of topic: Topic<Message>,
        index: Int,
        loop: any EventLoop,
        receive: @escaping @Sendable (Message) -> Void
    ) {
        self.topic = topic
        self.index = index
        self.loop = loop
        self.receive = receive
    }

    /// Messages that the bound has refused or replaced.
    public var overflowed: UInt64 { self.topic.overflowed(self.index) }

    func wake() {
        self.loop.execute {
            self.topic.isAwake(self.index)
            self.deliver()
        }
    }

    /// Receives what waits, in order. Call it on the loop; where nothing waits it costs one load.
    @inline(__always)
    public func deliver() {
        if !self.isEmpty.load(ordering: .acquiring) { self.deliverAll() }
    }

    private func deliverAll() {
        self.loop.assertInEventLoop()
        for message in self.topic.take(self.index) { self.receive(message) }
    }
}
