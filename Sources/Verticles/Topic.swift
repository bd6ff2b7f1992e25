import NIOConcurrencyHelpers
public import NIOCore
import Synchronization

/// All consumers of one address, and what waits for them.
///
/// One lock holds all mailboxes, so a published message is in every one of them or in none: a consumer that fetches its
/// mail before it answers anybody can't be behind what another consumer has already told the world.
public final class Topic<Message: Sendable>: Sendable {
    private struct Box {
        let mailbox: Mailbox<Message>
        var waiting: [Message] = []
        var isWoken = false
        var overflowed: UInt64 = 0
    }

    private struct State {
        var boxes: [Box] = []
        /// Whose turn it is to be sent a message.
        var turn = 0
    }

    private let address: Address<Message>
    private let state = NIOLockedValueBox(State())

    init(_ address: Address<Message>) { self.address = address }

    /// From now on `receive` is called on the loop for each message.
    public func consumer(
        on loop: any EventLoop,
        receive: @escaping @Sendable (Message) -> Void
    ) -> Mailbox<Message> {
        self.state.withLockedValue { state in
            let mailbox = Mailbox(of: self, index: state.boxes.count, loop: loop, receive: receive)
            state.boxes.append(Box(mailbox: mailbox))
            return mailbox
        }
    }

    /// To every consumer, or to all but those of one loop.
    public func publish(_ message: Message, except loop: (any EventLoop)? = nil) {
        let sleeping = self.state.withLockedValue { state in
            var sleeping: [Mailbox<Message>] = []
            for index in state.boxes.indices where state.boxes[index].mailbox.loop !== loop {
                _ = self.put(message, into: &state.boxes[index], waking: &sleeping)
            }
            return sleeping
        }
        for mailbox in sleeping { mailbox.wake() }
    }

    /// To one consumer, each in turn. False: nobody consumes, or the mailbox whose turn it is refuses.
    public func send(_ message: Message) -> Bool {
        var sleeping: [Mailbox<Message>] = []
        let isTaken = self.state.withLockedValue { state in
            guard !state.boxes.isEmpty else { return false }
            state.turn = (state.turn + 1) % state.boxes.count
            return self.put(message, into: &state.boxes[state.turn], waking: &sleeping)
        }
        for mailbox in sleeping { mailbox.wake() }
        return isTaken
    }

    private func put(_ message: Message, into box: inout Box, waking sleeping: inout [Mailbox<Message>]) -> Bool {
        if box.waiting.count < self.address.capacity {
            box.waiting.append(message)
        } else {
            box.overflowed &+= 1
            guard case .replaceAll(let substitute) = self.address.overflow else { return false }
            box.overflowed &+= UInt64(box.waiting.count)
            box.waiting = [substitute]
        }
        box.mailbox.isEmpty.store(false, ordering: .releasing)
        if !box.isWoken {
            box.isWoken = true
            sleeping.append(box.mailbox)
        }
        return true
    }

    func take(_ index: Int) -> [Message] {
        self.state.withLockedValue { state in
            state.boxes[index].mailbox.isEmpty.store(true, ordering: .relaxed)
            defer { state.boxes[index].waiting = [] }
            return state.boxes[index].waiting
        }
    }

    /// The wake-up has arrived; the next message needs another.
    func isAwake(_ index: Int) {
        self.state.withLockedValue { $0.boxes[index].isWoken = false }
    }

    func overflowed(_ index: Int) -> UInt64 {
        self.state.withLockedValue { $0.boxes[index].overflowed }
    }
}
