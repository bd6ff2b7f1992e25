import NIOCore
import Testing

@testable import RedisClient

@Suite("Commands that wait for replies")
struct PendingRepliesTests {
    private func deadline(_ milliseconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .milliseconds(milliseconds) }

    private func answered(_ pending: inout PendingReplies<String>) -> String {
        switch pending.replied() {
        case .waiter(let waiter): waiter
        case .late: "late"
        case .unasked: "unasked"
        }
    }

    @Test("A late reply is matched with the command that gave up, not with the next")
    func lateReply() {
        var pending = PendingReplies<String>(limits: .init(commands: 10, bytes: 100))
        pending.append("a", deadline: deadline(50), byteCount: 1)
        pending.append("b", deadline: deadline(60), byteCount: 1)
        #expect(pending.popOverdue(at: deadline(49)) == nil)
        #expect(pending.popOverdue(at: deadline(50)) == "a")
        #expect(pending.popOverdue(at: deadline(50)) == nil)
        #expect(pending.nextDeadline == deadline(60))
        #expect(pending.oldestDeadline == deadline(50))
        #expect(answered(&pending) == "late")
        #expect(answered(&pending) == "b")
        #expect(answered(&pending) == "unasked")
    }

    @Test("Both bounds hold, and room returns with the replies")
    func bounds() {
        var pending = PendingReplies<String>(limits: .init(commands: 2, bytes: 10))
        #expect(!pending.hasRoom(for: 11))
        pending.append("a", deadline: deadline(1), byteCount: 8)
        #expect(!pending.hasRoom(for: 3))
        #expect(pending.hasRoom(for: 2))
        pending.append("b", deadline: deadline(1), byteCount: 1)
        #expect(!pending.hasRoom(for: 1))
        #expect(answered(&pending) == "a")
        #expect(pending.hasRoom(for: 9))
    }

    @Test("A lost connection gives up every waiter once")
    func removesAll() {
        var pending = PendingReplies<String>(limits: .init(commands: 10, bytes: 100))
        for name in ["a", "b", "c"] { pending.append(name, deadline: deadline(5), byteCount: 1) }
        #expect(pending.popOverdue(at: deadline(5)) == "a")
        #expect(pending.removeAll() == ["b", "c"])
        #expect(pending.isEmpty)
        #expect(pending.nextDeadline == nil)
        #expect(pending.popOverdue(at: deadline(9)) == nil)
    }
}
