import Glibc
import NIOCore
import NIOPosix

/// Opens connections for a run: a bounded number at once, with a growing pause for those that are refused.
final class LoadConnector {
    /// More at once would overflow the backlog of a listener (commonly 128 to 4096) and lose a second each to a repeated SYN.
    static let mostAtOnce = 64
    static let longestPause = TimeAmount.milliseconds(200)

    private let address: SocketAddress
    private let loop: any EventLoop
    private var wanted: [Int] = []
    private var inFlight = 0
    private var refusals: [Int: Int] = [:]
    private var lastFailure: (any Error)?

    init(address: SocketAddress, loop: any EventLoop) {
        self.address = address
        self.loop = loop
    }

    /// Nothing is being opened and nothing waits to be.
    var isQuiet: Bool { inFlight == 0 && wanted.isEmpty }

    func want(_ index: Int) {
        wanted.append(index)
    }

    /// The next one to open now.
    func next() -> Int? {
        guard inFlight < Self.mostAtOnce, let index = wanted.popLast() else { return nil }
        inFlight += 1
        return index
    }

    func finished(_ index: Int, failure: (any Error)?) {
        inFlight -= 1
        guard let failure else { return }
        lastFailure = failure
        refused(index)
    }

    func welcomed(_ index: Int) {
        refusals[index] = nil
    }

    func refused(_ index: Int) {
        refusals[index, default: 0] += 1
    }

    /// 10 ms after the first refusal, doubled with each one.
    func pause(before index: Int) -> TimeAmount {
        let doublings = min(refusals[index] ?? 0, 6)
        return min(.milliseconds(5 << Int64(doublings)), Self.longestPause)
    }

    func connect(_ connection: LoadConnection, then done: @escaping ((any Error)?) -> Void) {
        let handler = NIOLoopBound(connection, eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(.seconds(5))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 16_384))
            // One read a wake-up: an answer fits, and the second read of every answer would find nothing.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
            .connect(to: address)
            .assumeIsolated()
            .whenComplete { result in
                if case .failure(let error) = result { done(error) } else { done(nil) }
            }
    }

    func reason(for target: LoadTarget) -> LoadError {
        let cause = lastFailure.map(Self.words) ?? "no connection was opened"
        return LoadError("cannot connect to \(target.authority) (\(cause)); is the service running there?")
    }

    /// The system's own words where it was the system that failed.
    private static func words(_ error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }
}
