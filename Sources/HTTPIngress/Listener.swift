import Glibc
import NIOConcurrencyHelpers
public import NIOCore
import Reactor
import Synchronization

/// One public address, listened to on each of its event loops with a socket of its own (`SO_REUSEPORT`), so that the
/// kernel spreads the connections and no loop hands them to another.
public final class Listener: Sendable {
    private struct State {
        /// What is bound: where the configuration says port 0, the first loop's choice.
        var address: SocketAddress?
        /// Each lets its loop's socket go on, from any thread.
        var gates: [@Sendable () -> Void] = []
    }

    private let host: String
    public let port: Int
    private let maximumConnections: Int
    private let isShared: Bool
    private let state = NIOLockedValueBox(State())
    let connections = Atomic(0)

    /// - Parameter maximumConnections: at it the listener pauses; what is open is served on.
    public init(host: String, port: Int, maximumConnections: Int, isShared: Bool) {
        self.host = host
        self.port = port
        self.maximumConnections = maximumConnections
        self.isShared = isShared
    }

    /// Bound address; nil before the first loop listens.
    public var address: SocketAddress? { self.state.withLockedValue { $0.address } }

    /// On the loop.
    ///
    /// - Parameter accepted: is given each connection's descriptor, and the room that it takes: both are to be given back.
    func listen(on reactor: ReactorLoop, accepted: @escaping (CInt) -> Void) throws -> ListeningSocket {
        if self.isShared, self.address == nil { try self.refuseStrangers() }
        let address = try SocketAddress.makeAddressResolvingHost(self.host, port: self.address?.port ?? self.port)
        let socket = try ListeningSocket(self, address, isShared: self.isShared, on: reactor, accepted: accepted)
        self.state.withLockedValue { state in
            if state.address == nil { state.address = SocketAddress(of: socket.descriptor) }
            state.gates.append { [weak socket] in reactor.execute { [weak socket] in socket?.goOn() } }
        }
        return socket
    }

    /// `SO_REUSEPORT` would share the port with another process of the same user as well, in silence; an ordinary socket
    /// doesn't, so one is bound first.
    private func refuseStrangers() throws {
        guard self.port != 0 else { return }
        let address = try SocketAddress.makeAddressResolvingHost(self.host, port: self.port)
        Glibc.close(try ListeningSocket.bound(to: address, isShared: false))
    }

    // MARK: The bound

    /// False: there is none, and when there is, the loops' sockets are told.
    func takeRoom() -> Bool {
        var taken = self.connections.load(ordering: .relaxed)
        while taken < self.maximumConnections {
            let (isExchanged, found) = self.connections.weakCompareExchange(
                expected: taken,
                desired: taken + 1,
                ordering: .relaxed
            )
            if isExchanged { return true }
            taken = found
        }
        return false
    }

    func giveRoomBack() {
        let before = self.connections.subtract(1, ordering: .relaxed).oldValue
        guard before >= self.maximumConnections else { return }
        for goOn in self.state.withLockedValue({ $0.gates }) { goOn() }
    }
}
