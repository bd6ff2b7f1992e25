import Glibc
import NIOCore

/// Opens connections for a run: a bounded number at once, with a growing pause for those that are refused.
final class LoadConnector {
    /// More at once would overflow the backlog of a listener (commonly 128 to 4096) and lose a second each to a repeated SYN.
    static let mostAtOnce = 64
    static let longestPause = TimeAmount.milliseconds(200)

    private let address: SocketAddress
    private var wanted: [Int] = []
    private var inFlight = 0
    private var refusals: [Int: Int] = [:]
    private var lastFailure: (any Error)?

    init(address: SocketAddress) {
        self.address = address
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

    /// A socket on its way to the service; it does not block.
    func dial() throws -> CInt {
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(CInt(address.protocol.rawValue), kind, 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        var one: CInt = 1
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
        let result = address.withSockAddr { connect(descriptor, $0, socklen_t($1)) }
        guard result == 0 || errno == EINPROGRESS else {
            let code = errno
            close(descriptor)
            throw IOError(errnoCode: code, reason: "connect")
        }
        return descriptor
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
