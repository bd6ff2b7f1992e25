import NIOCore
import NIOPosix

/// One connection to the service: sends what it is given, hands back each answer in order, and says when it ends.
final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A request that waits for its answer.
    struct Pending {
        /// When it was due; latency counts from here.
        let due: NIODeadline
        /// When it was written; the timeout counts from here.
        let sent: NIODeadline
        let tracks: Bool
    }

    let index: Int
    /// Set once it is known that nothing more may be sent here.
    private(set) var isClosing = false

    /// Given up when the channel lets go of this handler: until then each keeps the other.
    private var run: LoadRun?
    private var context: ChannelHandlerContext?
    private var pending: Ring<Pending>
    private var outbound = ByteBuffer()
    private var inbound = ByteBuffer()
    private var isReset = false
    private var hasAnswered = false
    /// The service ended it before it had answered anything.
    private(set) var wasDropped = false
    private let parser = ResponseParser()

    init(index: Int, pipeline: Int, run: LoadRun) {
        self.index = index
        self.run = run
        pending = Ring(capacity: pipeline)
    }

    var hasRoom: Bool { !isClosing && context != nil && !pending.isFull }
    var isIdle: Bool { !isClosing && context != nil && pending.count == 0 }
    var hasUnsent: Bool { outbound.readableBytes > 0 }
    var oldestSent: NIODeadline? { pending.first?.sent }

    /// Appends one request; ``flush()`` sends it.
    func send(_ writer: inout RequestWriter, due: NIODeadline, now: NIODeadline) {
        let tracks = writer.append(to: &outbound)
        _ = pending.append(Pending(due: due, sent: now, tracks: tracks))
    }

    func flush() {
        guard let context, outbound.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(outbound), promise: nil)
        outbound.clear()
    }

    /// Ends the connection; what is unanswered counts as `failure`.
    func close(_ failure: LoadFailure) {
        abandon(failure)
        context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { opened(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        opened(context)
    }

    private func opened(_ context: ChannelHandlerContext) {
        guard self.context == nil else { return }
        self.context = context
        outbound = context.channel.allocator.buffer(capacity: 1_024)
        run?.opened(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if inbound.readableBytes == 0 {
            inbound = unwrapInboundIn(data)
        } else {
            var more = unwrapInboundIn(data)
            inbound.writeBuffer(&more)
        }
        readAnswers()
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
    }

    private func readAnswers() {
        let now = NIODeadline.now()
        while !isClosing, inbound.readableBytes > 0 {
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

    func channelReadComplete(context: ChannelHandlerContext) {
        run?.readComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isReset = true
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let now = NIODeadline.now()
        if !isClosing, case .untilClose(let status) = parser.next(in: inbound), let request = pending.popFirst() {
            run?.answered(request, status: status, body: UnsafeRawBufferPointer(start: nil, count: 0), now: now)
        }
        wasDropped = !isClosing && !hasAnswered
        abandon(isReset ? .reset : .closed)
        guard self.context != nil else { return }
        self.context = nil
        run?.closed(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        run = nil
    }

    private func abandon(_ failure: LoadFailure) {
        isClosing = true
        run?.failed(failure, count: pending.count)
        pending.removeAll()
        outbound.clear()
    }
}

@available(*, unavailable)
extension LoadConnection: Sendable {}
