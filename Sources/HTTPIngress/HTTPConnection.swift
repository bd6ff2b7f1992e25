import Glibc
import NIOCore
import ProgramCache
import Verticles

/// One client's connection: its bytes on the way in and out, and how far they are.
///
/// It only holds and moves; what the bytes mean is decided by its verticle, which it enters once for each batch of reads.
///
/// Sendable only as a claim: every field is touched on the channel's event loop alone, by NIO, which calls a handler
/// there, and by the verticle, which is an actor on that loop.
final class HTTPConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

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
    private var context: ChannelHandlerContext?
    /// Where the verticle keeps this connection.
    var slot = -1
    var phase = Phase.open
    var inbound = ByteBuffer()
    var out = ByteBuffer()
    /// The channel's own, between its beginning and its end; nil where the channel is not a socket.
    private var socket: NIOBSDSocket.Handle?
    /// Writes that wait in the channel for room in the socket; what follows goes behind the last of them.
    private var waitingWrites = 0
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

    init(verticle: HTTPVerticle) {
        self.verticle = verticle
    }

    var hasUnread: Bool { self.inbound.readableBytes > 0 }

    // MARK: What NIO says

    private static let bytesArrived = Entrance<HTTPVerticle, HTTPConnection> { $0.bytesArrived($1) }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel.pipeline.syncOperations
        self.socket = try? channel.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        self.verticle.enter { $0.connectionOpened(self) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.phase == .open else { return }
        var bytes = self.unwrapInboundIn(data)
        if self.inbound.readableBytes == 0 {
            self.inbound = bytes
        } else {
            self.inbound.discardReadBytes()
            self.inbound.writeBuffer(&bytes)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard self.phase == .open else { return }
        Self.bytesArrived(self.verticle, self)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.isWritable = context.channel.isWritable
        if self.isWritable { self.verticle.enter { $0.becameWritable(self) } }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.inputClosed) = event as? ChannelEvent {
            self.verticle.enter { $0.clientFinished(self) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.phase = .closed
        self.socket = nil
        self.verticle.enter { $0.connectionClosed(self) }
        self.context = nil
    }

    /// A reset by the client, for the most part: its connection ends, and nobody else's concern.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    // MARK: What the verticle wants

    var remoteAddress: SocketAddress? { self.context?.remoteAddress }
    /// Bytes that the client's side has not taken yet.
    var unsentBytes: Int {
        guard let options = self.context?.channel.syncOptions else { return 0 }
        return (try? options.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// Sends everything in `out`.
    func flush() {
        self.flush(upTo: self.out.writerIndex)
        if self.out.readableBytes == 0 { self.out.clear() }
    }

    /// Sends the first bytes of `out`, up to its index `end`: straight to the socket, and what that does not take by way of
    /// the channel, which waits for room. The channel's own way costs a fifth of a request (`Tests/Benchmarks`).
    func flush(upTo end: Int) {
        let length = end - self.out.readerIndex
        guard length > 0, let context = self.context else { return }
        let sent = self.waitingWrites == 0 ? self.send(length) : 0
        self.out.moveReaderIndex(forwardBy: sent)
        guard sent < length, let rest = self.out.readSlice(length: length - sent) else { return }
        self.waitingWrites += 1
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in self.waitingWrites -= 1 }
        context.writeAndFlush(self.wrapOutboundOut(rest), promise: written)
    }

    /// Bytes that the socket took at once; none where it is full or broken, which the channel finds out as well.
    private func send(_ length: Int) -> Int {
        guard let socket = self.socket else { return 0 }
        return self.out.withUnsafeReadableBytes { max(0, Glibc.send(socket, $0.baseAddress, length, Self.sendFlags)) }
    }

    private static let sendFlags = CInt(MSG_NOSIGNAL)

    func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, let channel = self.context?.channel else { return }
        self.isReading = isReading
        try? channel.syncOptions?.setOption(.autoRead, value: isReading)
        if isReading { channel.read() }
    }

    /// Ends our side once everything written has gone to the client's system. The client's remaining bytes are read and
    /// dropped, so that they don't meet a reset which would throw our answer away (RFC 9112 section 9.6).
    func endAfterLastAnswer() {
        self.phase = .lingering
        self.inbound.clear()
        self.setReading(true)
        guard let context = self.context else { return }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in
            if self.clientHasFinished { self.close() } else { self.context?.close(mode: .output, promise: nil) }
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
    }

    func close() {
        self.context?.close(promise: nil)
    }
}

extension HTTPConnection: ProgramWaiter {
    func programArrived(_ outcome: ProgramCache.Outcome) {
        guard self.phase == .open else { return }
        self.arrived = outcome
        self.isWaiting = false
        // Else the verticle is looking at this connection already and goes on when this returns.
        if !self.isInWork { self.verticle.enter { $0.proceed(self) } }
    }
}
