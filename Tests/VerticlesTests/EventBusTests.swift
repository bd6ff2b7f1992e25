import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Verticles

/// Event loops of a test's own.
func withLoops<R>(_ count: Int, _ body: ([any EventLoop]) async throws -> R) async throws -> R {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: count)
    do {
        let result = try await body(Array(group.makeIterator()))
        try await group.shutdownGracefully()
        return result
    } catch {
        try? await group.shutdownGracefully()
        throw error
    }
}

/// What a consumer was given, in its order.
final class Received<Message: Sendable>: Sendable {
    private let messages = NIOLockedValueBox<[Message]>([])
    var all: [Message] { self.messages.withLockedValue { $0 } }
    func append(_ message: Message) { self.messages.withLockedValue { $0.append(message) } }
}

extension EventLoop {
    /// Returns when everything that was handed to the loop before has run.
    func catchUp() async throws { try await self.submit {}.get() }
}

@Suite("The event bus")
struct EventBusTests {
    private let numbers = Address<Int>("numbers", capacity: 8, overflow: .refuseNewest)

    @Test("a published message reaches every consumer, on its own loop and in order")
    func publish() async throws {
        try await withLoops(2) { loops in
            let bus = EventBus()
            let received = loops.map { _ in Received<Int>() }
            for (loop, received) in zip(loops, received) {
                bus.consumer(self.numbers, on: loop) { number in
                    loop.preconditionInEventLoop()
                    received.append(number)
                }
            }
            for number in 0..<5 { bus.publish(self.numbers, number) }
            for loop in loops { try await loop.catchUp() }
            for received in received { #expect(received.all == [0, 1, 2, 3, 4]) }
        }
    }

    @Test("a message for the others does not come back")
    func except() async throws {
        try await withLoops(2) { loops in
            let bus = EventBus()
            let received = loops.map { _ in Received<Int>() }
            for (loop, received) in zip(loops, received) {
                bus.consumer(self.numbers, on: loop) { received.append($0) }
            }
            bus.topic(self.numbers).publish(7, except: loops[0])
            for loop in loops { try await loop.catchUp() }
            #expect(received[0].all.isEmpty)
            #expect(received[1].all == [7])
        }
    }

    @Test("a sent message reaches one consumer, each in turn; without consumers it is not taken")
    func send() async throws {
        try await withLoops(2) { loops in
            let bus = EventBus()
            #expect(!bus.send(self.numbers, 0))
            let received = loops.map { _ in Received<Int>() }
            for (loop, received) in zip(loops, received) {
                bus.consumer(self.numbers, on: loop) { received.append($0) }
            }
            for number in 0..<6 { #expect(bus.send(self.numbers, number)) }
            for loop in loops { try await loop.catchUp() }
            #expect(received.map(\.all.count) == [3, 3])
            #expect(Set(received.flatMap(\.all)) == Set(0..<6))
        }
    }

    @Test("a request comes back with an answer, or with nil when nobody takes it")
    func request() async throws {
        let doubling = Address<Request<Int, Int>>("doubling", capacity: 4, overflow: .refuseNewest)
        try await withLoops(1) { loops in
            let bus = EventBus()
            #expect(await bus.request(doubling, 4) == nil)
            bus.consumer(doubling, on: loops[0]) { $0.reply($0.question * 2) }
            for number in 0..<20 { #expect(await bus.request(doubling, number) == number * 2) }
        }
    }

    @Test("an address is one place for everybody who names it")
    func topics() {
        let bus = EventBus()
        #expect(bus.topic(self.numbers) === bus.topic(self.numbers))
        #expect(bus.topic(self.numbers) !== bus.topic(Address<Int>("others", capacity: 1, overflow: .refuseNewest)))
    }

    // MARK: The bound

    @Test("a full mailbox refuses the newest, says so and counts it")
    func refuses() async throws {
        try await withLoops(1) { loops in
            let bus = EventBus()
            let received = Received<Int>()
            let mailbox = bus.consumer(self.numbers, on: loops[0]) { received.append($0) }
            // On the consumer's own loop nothing is delivered meanwhile.
            let taken = try await loops[0].submit { (0..<20).map { bus.send(self.numbers, $0) } }.get()
            #expect(taken == (0..<20).map { $0 < 8 })
            try await loops[0].catchUp()
            #expect(received.all == Array(0..<8))
            #expect(mailbox.overflowed == 12)
            #expect(bus.send(self.numbers, 99))
            try await loops[0].catchUp()
            #expect(received.all.last == 99)
        }
    }

    @Test("a full mailbox may be replaced by one message that says what to do")
    func replaces() async throws {
        let address = Address<Int>("replaced", capacity: 4, overflow: .replaceAll(with: -1))
        try await withLoops(1) { loops in
            let bus = EventBus()
            let received = Received<Int>()
            let mailbox = bus.consumer(address, on: loops[0]) { received.append($0) }
            try await loops[0].submit { for number in 0..<6 { bus.publish(address, number) } }.get()
            try await loops[0].catchUp()
            // 0 to 3 and 4 gave way to the substitute; 5 came after it.
            #expect(received.all == [-1, 5])
            #expect(mailbox.overflowed == 5)
        }
    }

    @Test("one consumer's full mailbox is nobody else's concern")
    func boundsAreApart() async throws {
        try await withLoops(2) { loops in
            let bus = EventBus()
            let slow = Received<Int>()
            let fast = Received<Int>()
            let full = bus.consumer(self.numbers, on: loops[0]) { slow.append($0) }
            let free = bus.consumer(self.numbers, on: loops[1]) { fast.append($0) }
            let isBusy = Atomic(true)
            loops[0].execute { while isBusy.load(ordering: .acquiring) {} }
            for number in 0..<20 {
                bus.publish(self.numbers, number)
                try await loops[1].catchUp()
            }
            isBusy.store(false, ordering: .releasing)
            try await loops[0].catchUp()
            #expect(fast.all == Array(0..<20))
            #expect(slow.all == Array(0..<8))
            #expect(full.overflowed == 12 && free.overflowed == 0)
        }
    }

    // MARK: Fetching mail early

    @Test("a consumer that fetches its mail is not woken for it again")
    func deliverEarly() async throws {
        try await withLoops(1) { loops in
            let bus = EventBus()
            let received = Received<Int>()
            let mailbox = bus.consumer(self.numbers, on: loops[0]) { received.append($0) }
            let early = try await loops[0].submit { () -> [Int] in
                mailbox.deliver()
                bus.publish(self.numbers, 1)
                bus.publish(self.numbers, 2)
                mailbox.deliver()
                return received.all
            }.get()
            #expect(early == [1, 2])
            try await loops[0].catchUp()
            #expect(received.all == [1, 2])
        }
    }

    @Test("what is published while mail is received comes after it")
    func publishWhileReceiving() async throws {
        try await withLoops(1) { loops in
            let bus = EventBus()
            let received = Received<Int>()
            bus.consumer(self.numbers, on: loops[0]) { number in
                received.append(number)
                if number < 3 { bus.publish(self.numbers, number + 1) }
            }
            bus.publish(self.numbers, 0)
            for _ in 0..<5 { try await loops[0].catchUp() }
            #expect(received.all == [0, 1, 2, 3])
        }
    }

    @Test("once one consumer has a message, every other one that looks has it too")
    func visibility() async throws {
        let rounds = 20_000
        let address = Address<Int>("versions", capacity: rounds + 1, overflow: .refuseNewest)
        try await withLoops(3) { loops in
            let bus = EventBus()
            let told = Atomic(-1)
            let behind = Atomic(0)
            let seen = NIOLoopBoundBox.makeBoxSendingValue(-1, eventLoop: loops[1])
            // The first consumer tells the world what it has; the second looks at the world, then into its mailbox.
            bus.consumer(address, on: loops[0]) { told.store($0, ordering: .sequentiallyConsistent) }
            let mailbox = bus.consumer(address, on: loops[1]) { seen.value = $0 }
            let reader = loops[1].submit {
                var looks = 0
                while looks < rounds * 20, told.load(ordering: .sequentiallyConsistent) < rounds - 1 {
                    let version = told.load(ordering: .sequentiallyConsistent)
                    mailbox.deliver()
                    if seen.value < version { behind.add(1, ordering: .relaxed) }
                    looks += 1
                }
            }
            let writer = loops[2].submit { for version in 0..<rounds { bus.publish(address, version) } }
            try await writer.get()
            try await reader.get()
            for loop in loops { try await loop.catchUp() }
            #expect(behind.load(ordering: .relaxed) == 0)
            #expect(try await loops[1].submit { seen.value }.get() == rounds - 1)
            #expect(mailbox.overflowed == 0)
        }
    }

    @Test("no message of many senders is lost or doubled")
    func manySenders() async throws {
        let count = 10_000
        let address = Address<Int>("many", capacity: 2 * count, overflow: .refuseNewest)
        try await withLoops(3) { loops in
            let bus = EventBus()
            let received = Received<Int>()
            bus.consumer(address, on: loops[0]) { received.append($0) }
            let senders = (0..<2).map { sender in
                loops[sender + 1].submit { for number in 0..<count { bus.publish(address, sender * count + number) } }
            }
            for sender in senders { try await sender.get() }
            try await loops[0].catchUp()
            let all = received.all
            #expect(all.sorted() == Array(0..<(2 * count)))
            // Each sender's messages keep their order.
            #expect(all.filter { $0 < count } == Array(0..<count))
            #expect(all.filter { $0 >= count } == Array(count..<(2 * count)))
        }
    }
}
