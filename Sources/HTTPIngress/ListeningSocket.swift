import CLinux
import Glibc
import NIOCore
import Reactor

/// One loop's socket of a listener: takes connections in while there is room.
///
/// Sendable only as a claim: it is touched on its loop alone.
final class ListeningSocket: Watched, @unchecked Sendable {
    /// Connections taken in one tick, so that many who come do not keep those waiting who are there.
    private static let batch = 16
    private static let backlog: CInt = 4096
    /// Where the system has no descriptor or no memory for one more connection.
    private static let pause = TimeAmount.milliseconds(100)

    private let listener: Listener
    private let reactor: ReactorLoop
    /// Is given the descriptor.
    private let accepted: (CInt) -> Void
    private var isOpen = true
    /// The system had nothing left for a connection a moment ago.
    private var isPausing = false

    /// Binds and listens; on the loop.
    init(
        _ listener: Listener,
        _ address: SocketAddress,
        isShared: Bool,
        on reactor: ReactorLoop,
        accepted: @escaping (CInt) -> Void
    ) throws {
        self.listener = listener
        self.reactor = reactor
        self.accepted = accepted
        super.init(descriptor: try Self.bound(to: address, isShared: isShared))
        do {
            guard listen(self.descriptor, Self.backlog) == 0 else { throw IOError(errnoCode: errno, reason: "listen") }
            try reactor.watch(self, for: .readable)
        } catch {
            Glibc.close(self.descriptor)
            throw error
        }
    }

    static func bound(to address: SocketAddress, isShared: Bool) throws -> CInt {
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(CInt(address.protocol.rawValue), kind, 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        do {
            try Self.set(SOL_SOCKET, SO_REUSEADDR, on: descriptor)
            if isShared { try Self.set(SOL_SOCKET, SO_REUSEPORT, on: descriptor) }
            // The connections take it over.
            try Self.set(CInt(IPPROTO_TCP), TCP_NODELAY, on: descriptor)
            let result = address.withSockAddr { bind(descriptor, $0, socklen_t($1)) }
            guard result == 0 else { throw IOError(errnoCode: errno, reason: "bind") }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func set(_ level: CInt, _ option: CInt, on descriptor: CInt) throws {
        var one: CInt = 1
        guard setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<CInt>.size)) == 0 else {
            throw IOError(errnoCode: errno, reason: "setsockopt")
        }
    }

    override func isReady(_ readiness: Readiness) {
        for _ in 0..<Self.batch {
            // While there is none the kernel's queue waits, and with it the clients.
            guard self.listener.takeRoom() else { return self.reactor.change(self, to: []) }
            let descriptor = accept4(self.descriptor, nil, nil, CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard descriptor >= 0 else {
                let reason = errno
                self.listener.giveRoomBack()
                return self.nothingAccepted(reason)
            }
            self.accepted(descriptor)
        }
    }

    /// The errors of one connection that is gone already (accept(2)) are not the socket's.
    private func nothingAccepted(_ reason: CInt) {
        guard [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(reason) else { return }
        self.reactor.change(self, to: [])
        self.isPausing = true
        _ = self.reactor.scheduleTask(in: Self.pause) {
            self.isPausing = false
            self.goOn()
        }
    }

    /// There is room again; on the loop.
    func goOn() {
        if self.isOpen, !self.isPausing { self.reactor.change(self, to: .readable) }
    }

    func close() {
        guard self.isOpen else { return }
        self.isOpen = false
        self.reactor.unwatch(self)
        Glibc.close(self.descriptor)
    }
}
