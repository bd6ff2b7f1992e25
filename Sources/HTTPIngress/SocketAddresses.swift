import Glibc
import NIOCore

extension SocketAddress {
    /// Where a socket's other end is; nil where it has none any more.
    init?(peerOf descriptor: CInt) { self.init(descriptor, getpeername) }

    /// Where a socket is bound.
    init?(of descriptor: CInt) { self.init(descriptor, getsockname) }

    private typealias Question = (CInt, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> CInt

    private init?(_ descriptor: CInt, _ question: Question) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let address = withUnsafeMutableBytes(of: &storage) { memory -> SocketAddress? in
            guard let start = memory.baseAddress,
                question(descriptor, start.assumingMemoryBound(to: sockaddr.self), &length) == 0
            else { return nil }
            switch CInt(start.assumingMemoryBound(to: sockaddr.self).pointee.sa_family) {
            case AF_INET: return SocketAddress(memory.load(as: sockaddr_in.self))
            case AF_INET6: return SocketAddress(memory.load(as: sockaddr_in6.self))
            default: return nil
            }
        }
        guard let address else { return nil }
        self = address
    }
}
