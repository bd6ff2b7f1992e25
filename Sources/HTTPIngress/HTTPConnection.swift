import Glibc
import NIOCore
import ProgramCache
import Reactor
import Verticles

/// One client's connection: its bytes on the way in and out, and how far they are.
///
/// It only holds and moves; what the bytes mean is decided by its verticle, which it enters once for each read.
///
/// Sendable only as a claim: every field is touched on the event loop alone, by the loop, which calls `isReady`, and by the
/// verticle, which is an actor on that loop.
final class HTTPConnection: Watched, @unchecked Sendable {
    /// An accepted request's answer, which waits in `out` until its event is durable.
    struct HeldAnswer {
        var start: Int
        var end: Int
        let batch: UInt64
        /// Monotonic nanoseconds of the request's arrival.
        let arrived: UInt64
        let connection: ResponseHeads.Connection
    }

    enum Phase {
        case open
        /// The last answer is written or held; nothing more is read as a request.
        case closing
        /// The answer has left and our side is shut; what still comes is thrown away until the client closes.
        case lingering
        case closed
    }

    private let verticle: HTTPVerticle
    private let reactor: ReactorLoop
    /// Where the verticle keeps this connection.
    var slot = -1
    var phase = Phase.open
    /// Requests, or the beginning of one, that have been received and not been served.
    var inbound = ByteBuffer()
    /// `inbound` is the memory that the verticle lends for one read.
    private var hasBorrowed = false
    /// Answers that may not leave yet, and what is being put together.
    var out = ByteBuffer()
    /// Answers that may leave as soon as the kernel has room for them; what follows goes behind.
    private var unsent = ByteBuffer()
    /// Our side ends when `unsent` has left.
    private var endsWhenSent = false
    var held: [HeldAnswer] = []
    /// The first request waits for a program or for a route's answer.
    var isWaiting = false
    /// The verticle is at work on this connection, up in the call stack.
    var isInWork = false
    /// What the waiting request waited for.
    var arrived: ProgramCache.Outcome?
    var clientHasFinished = false
    var isReading = true
    /// False: the client takes its answers more slowly than it asks.
    private(set) var isWritable = true
    /// As the privacy policy leaves it; taken when the first event needs it.
    var clientAddress: [UInt8]?
    /// Monotonic nanoseconds of the last bytes in either direction.
    var lastActivity: UInt64 = 0
    /// When the head that is not complete yet began to arrive; 0: there is none.
    var headBegan: UInt64 = 0
    /// Since when the client has left answers unread; 0: it hasn't.
    var unreadSince: UInt64 = 0

    init(descriptor: CInt, verticle: HTTPVerticle) {
        self.verticle = verticle
        self.reactor = verticle.reactor
        super.init(descriptor: descriptor)
    }

    var hasUnread: Bool { self.inbound.readableBytes > 0 }

    // MARK: What the kernel says

    private static let readable = Entrance<HTTPVerticle, HTTPConnection> { $0.readable($1) }

    /// What it is watched for while it reads: at its edges, so `receive` asks for another look where it leaves something.
    static let input: Readiness = [.readable, .finished, .edge]

    override func isReady(_ readiness: Readiness) {
        if readiness == .readable { return Self.readable(self.verticle, self) }
        // A reset by the client, for the most part: its connection ends, and nobody else's concern.
        if readiness.contains(.failed) { return self.close() }
        if readiness.contains(.writable) { self.sendUnsent() }
        guard self.phase != .closed else { return }
        if readiness.contains(.readable) {
            Self.readable(self.verticle, self)
            // The end that is announced comes behind what has just been read.
            if readiness.contains(.finished), !self.clientHasFinished { self.reactor.lookAgain(at: self) }
        } else if readiness.contains(.hungUp) {
            self.close()
        }
    }

    /// Reads what has come, as much as one read takes.
    ///
    /// - Parameter spare: memory for the time in which these bytes are served, so that a connection needs its own only where
    ///   something is left over; `giveBack` ends that time.
    /// - Returns: true: there are bytes to serve.
    func receive(borrowing spare: inout ByteBuffer) -> Bool {
        if !self.hasUnread, !self.hasBorrowed {
            swap(&self.inbound, &spare)
            self.hasBorrowed = true
        } else {
            self.inbound.discardReadBytes()
        }
        var received = 0
        let count = self.inbound.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.readBytes) { memory in
            received = recv(self.descriptor, memory.baseAddress, memory.count, 0)
            if received == memory.count { self.reactor.lookAgain(at: self) }
            return max(0, received)
        }
        if self.phase != .open { self.inbound.clear() }
        if received == 0 { self.finishInput() }
        // What is broken is reported as failed or hung up with the next tick.
        return count > 0 && self.phase == .open
    }

    /// Ends the loan: what is left over is the connection's own now.
    func giveBack(to spare: inout ByteBuffer) {
        guard self.hasBorrowed else {
            if !self.hasUnread { self.inbound = ByteBuffer() }
            return
        }
        if self.hasUnread { spare.writeImmutableBuffer(self.inbound) }
        self.inbound.clear()
        swap(&self.inbound, &spare)
        self.hasBorrowed = false
    }

    private func finishInput() {
        self.clientHasFinished = true
        self.updateInterest()
    }

    // MARK: What the verticle wants

    var remoteAddress: SocketAddress? { SocketAddress(peerOf: self.descriptor) }
    /// Bytes that the client's side has not taken yet.
    var unsentBytes: Int { self.unsent.readableBytes }

    /// Sends everything in `out`.
    func flush() {
        self.flush(upTo: self.out.writerIndex)
        if self.out.readableBytes == 0 { self.out.clear() }
    }

    /// Sends the first bytes of `out`, up to its index `end`; what the kernel does not take waits for room.
    func flush(upTo end: Int) {
        let length = end - self.out.readerIndex
        guard length > 0, self.phase != .closed else { return }
        let sent = self.unsent.readableBytes == 0 ? self.send(self.out, length) : 0
        self.out.moveReaderIndex(forwardBy: sent)
        if sent < length { self.keepUnsent(length - sent) }
        self.useMemoryAgain()
    }

    private func keepUnsent(_ length: Int) {
        guard let rest = self.out.readSlice(length: length) else { return }
        // A client that never takes quite everything must not make it grow by what it has taken.
        self.unsent.discardReadBytes()
        self.unsent.writeImmutableBuffer(rest)
        if self.unsent.readableBytes > Self.unsentLimits.upperBound { self.isWritable = false }
        self.updateInterest()
    }

    /// Where there is always an answer that is held, `out` is never empty, and grows by all that leaves.
    private func useMemoryAgain() {
        let left = self.out.readerIndex
        guard left > Self.sentBytesKept else { return }
        self.out.discardReadBytes()
        for index in self.held.indices {
            self.held[index].start -= left
            self.held[index].end -= left
        }
    }

    private func sendUnsent() {
        self.unsent.moveReaderIndex(forwardBy: self.send(self.unsent, self.unsent.readableBytes))
        if self.unsent.readableBytes == 0 {
            self.unsent = ByteBuffer()
            self.updateInterest()
            if self.endsWhenSent { return self.finishOutput() }
        }
        if !self.isWritable, self.unsent.readableBytes < Self.unsentLimits.lowerBound {
            self.isWritable = true
            self.verticle.enter { $0.becameWritable(self) }
        }
    }

    /// Bytes that the kernel took; none where it is full or the connection broken, which the loop reports.
    private func send(_ buffer: ByteBuffer, _ length: Int) -> Int {
        buffer.withUnsafeReadableBytes { max(0, Glibc.send(self.descriptor, $0.baseAddress, length, Self.sendFlags)) }
    }

    private static let sendFlags = CInt(MSG_NOSIGNAL)

    /// Bytes of answers that have left and still take memory.
    private static let sentBytesKept = 64 << 10
    /// The most that one read takes.
    static let readBytes = 16 << 10
    /// Unsent bytes: beyond the upper bound no more requests are served, until fewer than the lower one are left.
    private static let unsentLimits = (32 << 10)...(64 << 10)

    func setReading(_ isReading: Bool) {
        guard isReading != self.isReading else { return }
        self.isReading = isReading
        self.updateInterest()
    }

    private func updateInterest() {
        var interest: Readiness = self.isReading && !self.clientHasFinished ? Self.input : .edge
        if self.unsent.readableBytes > 0 { interest.insert(.writable) }
        self.reactor.change(self, to: interest)
    }

    /// Ends our side once everything written has gone to the client's system. The client's remaining bytes are read and
    /// dropped, so that they don't meet a reset which would throw our answer away (RFC 9112 section 9.6).
    func endAfterLastAnswer() {
        self.phase = .lingering
        self.inbound.clear()
        self.setReading(true)
        self.endsWhenSent = true
        self.lastActivity = self.reactor.tick
        if self.unsent.readableBytes == 0 { self.finishOutput() }
    }

    private func finishOutput() {
        if self.clientHasFinished { self.close() } else { shutdown(self.descriptor, CInt(SHUT_WR)) }
    }

    func close() {
        guard self.phase != .closed else { return }
        self.phase = .closed
        self.reactor.unwatch(self)
        Glibc.close(self.descriptor)
        self.verticle.enter { $0.connectionClosed(self) }
    }
}

extension HTTPConnection: ProgramWaiter {
    private static let proceeding = Entrance<HTTPVerticle, HTTPConnection> { $0.proceed($1) }

    func programArrived(_ outcome: ProgramCache.Outcome) {
        guard self.phase == .open else { return }
        // Where the client has to read first, it would be old news by then: the request looks again.
        self.arrived = self.isWritable ? outcome : nil
        self.isWaiting = false
        // Else the verticle is looking at this connection already and goes on when this returns.
        if !self.isInWork { Self.proceeding(self.verticle, self) }
    }
}
