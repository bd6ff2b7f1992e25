import Glibc
import NIOCore
import Reactor

/// One connection to the service: sends what it is given, hands back each answer in order, and says when it ends.
final class LoadConnection: Watched {
    /// A request that waits for its answer.
    struct Pending {
        /// When it was due; latency counts from here.
        let due: NIODeadline
        /// When it was written; the timeout counts from here.
        let sent: NIODeadline
        let tracks: Bool
    }

    private enum Phase {
        case connecting(until: Scheduled<Void>)
        case open
        case closed
    }

    let index: Int
    private let reactor: ReactorLoop
    /// Given up when the connection ends: until then each keeps the other.
    private var run: LoadRun?
    private var phase = Phase.closed
    private var pending: Ring<Pending>
    private var outbound = ByteBuffer()
    /// The beginning of an answer whose end has not come yet.
    private var inbound = ByteBuffer()
    /// A send has failed.
    private var isBroken = false
    private var hasAnswered = false
    /// The service ended it before it had answered anything.
    private(set) var wasDropped = false
    private let parser = ResponseParser()

    private static let patience = TimeAmount.seconds(5)
    /// The most that one read takes.
    private static let readBytes = 16_384
    /// At its edges: `receive` asks for another look where it leaves something.
    private static let input: Readiness = [.readable, .finished, .edge]

    /// - Parameter socket: on its way to the service; from now on this connection's to close.
    init(index: Int, pipeline: Int, socket: CInt, run: LoadRun, on reactor: ReactorLoop) {
        self.index = index
        self.reactor = reactor
        self.run = run
        pending = Ring(capacity: pipeline)
        super.init(descriptor: socket)
    }

    var hasRoom: Bool { isOpen && !pending.isFull }
    var isIdle: Bool { isOpen && pending.count == 0 }
    var hasUnsent: Bool { outbound.readableBytes > 0 }
    var oldestSent: NIODeadline? { pending.first?.sent }

    private var isOpen: Bool { if case .open = phase { true } else { false } }

    /// Waits until the socket has arrived or failed, and tells the run.
    func begin() throws {
        do {
            try reactor.watch(self, for: .writable)
        } catch {
            leave()
            throw error
        }
        let bound = NIOLoopBound(self, eventLoop: reactor)
        phase = .connecting(until: reactor.scheduleTask(in: Self.patience) { bound.value.arrived(ETIMEDOUT) })
    }

    override func isReady(_ readiness: Readiness) {
        switch phase {
        case .connecting: arrived(pendingError())
        case .open:
            if readiness.contains(.writable) { flush() }
            if readiness != .writable { receive() }
            // The end that is announced comes behind what has just been read.
            if readiness.contains(.finished) { reactor.lookAgain(at: self) }
        case .closed: break
        }
    }

    // MARK: The way there

    private func arrived(_ code: CInt) {
        guard case .connecting(let patience) = phase else { return }
        patience.cancel()
        guard code == 0 else {
            let run = self.run
            leave()
            run?.notOpened(index, IOError(errnoCode: code, reason: "connect"))
            return
        }
        phase = .open
        reactor.change(self, to: Self.input)
        run?.opened(self)
    }

    private func pendingError() -> CInt {
        var code: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
    }

    // MARK: Requests

    /// Appends one request; ``flush()`` sends it.
    func send(_ writer: inout RequestWriter, due: NIODeadline, now: NIODeadline) {
        let tracks = writer.append(to: &outbound)
        _ = pending.append(Pending(due: due, sent: now, tracks: tracks))
    }

    /// Sends what the kernel takes; the rest when it has room.
    func flush() {
        guard isOpen, hasUnsent else { return }
        let flags = CInt(MSG_NOSIGNAL)
        let sent = outbound.withUnsafeReadableBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, flags) }
        // The next read finds the end, and not why.
        if sent < 0, errno != EAGAIN, errno != EINTR { isBroken = true }
        outbound.moveReaderIndex(forwardBy: max(0, sent))
        if !hasUnsent { outbound.clear() }
        reactor.change(self, to: hasUnsent ? [Self.input, .writable] : Self.input)
    }

    // MARK: Answers

    private func receive() {
        guard let run else { return }
        // Its own memory only where an answer is not whole.
        let borrows = inbound.readableBytes == 0
        if borrows { swap(&inbound, &run.spare) }
        var received = 0
        inbound.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.readBytes) { memory in
            received = recv(descriptor, memory.baseAddress, memory.count, 0)
            if received == memory.count { reactor.lookAgain(at: self) }
            return max(0, received)
        }
        let reason = errno
        readAnswers()
        if received == 0 { isBroken ? close(.reset) : ended() }
        if received < 0, reason != EAGAIN, reason != EINTR { close(.reset) }
        if borrows {
            let rest = ByteBuffer(bytes: inbound.readableBytesView)
            inbound.clear()
            swap(&inbound, &run.spare)
            inbound = rest
        } else if inbound.readableBytes == 0 {
            inbound = ByteBuffer()
        }
        run.hasRead()
    }

    private func readAnswers() {
        let now = NIODeadline.now()
        while isOpen, inbound.readableBytes > 0 {
            switch parser.next(in: inbound) {
            case .incomplete, .untilClose:
                return
            case .malformed:
                return close(.malformed)
            case .response(let response):
                take(response, now: now)
            }
        }
    }

    private func take(_ response: ResponseParser.Response, now: NIODeadline) {
        defer { inbound.moveReaderIndex(forwardBy: response.body.upperBound) }
        // 100 and 103 announce the real answer.
        if response.status < 200 { return }
        guard let request = pending.popFirst() else { return close(.malformed) }
        hasAnswered = true
        inbound.withUnsafeReadableBytes { bytes in
            run?.answered(
                request,
                status: response.status,
                body: UnsafeRawBufferPointer(rebasing: bytes[response.body]),
                now: now
            )
        }
        if response.closes {
            close(.closed)
        } else {
            run?.hasRoom(self)
        }
    }

    /// The service has closed; an answer without a length ends with it.
    private func ended() {
        guard isOpen else { return }
        if case .untilClose(let status) = parser.next(in: inbound), let request = pending.popFirst() {
            hasAnswered = true
            run?.answered(request, status: status, body: UnsafeRawBufferPointer(start: nil, count: 0), now: .now())
        }
        wasDropped = !hasAnswered
        close(.closed)
    }

    // MARK: Its end

    /// What is unanswered counts as `failure`.
    func close(_ failure: LoadFailure) {
        switch phase {
        case .connecting(let patience):
            patience.cancel()
            leave()
        case .open:
            if failure == .reset { wasDropped = !hasAnswered }
            let run = self.run
            leave()
            run?.failed(failure, count: pending.count)
            pending.removeAll()
            run?.closed(self)
        case .closed: break
        }
    }

    private func leave() {
        phase = .closed
        run = nil
        outbound.clear()
        reactor.unwatch(self)
        Glibc.close(descriptor)
    }
}

@available(*, unavailable)
extension LoadConnection: Sendable {}
