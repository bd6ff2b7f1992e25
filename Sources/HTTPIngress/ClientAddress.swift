import Glibc
import NIOCore

extension ClientAddressPolicy {
    /// The text of an address; empty where the policy leaves nothing.
    func apply(to address: SocketAddress?) -> [UInt8] {
        guard let text = address?.ipAddress, self != .none else { return [] }
        return Array((self == .full ? text : Self.truncated(text)).utf8)
    }

    private static func truncated(_ text: String) -> String {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            return withUnsafeBytes(of: v4) { self.truncatedV4($0[0], $0[1], $0[2]) }
        }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return "" }
        return withUnsafeBytes(of: v6) { bytes in
            // ::ffff:a.b.c.d is an IPv4 client on a dual-stack socket.
            if bytes[0..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff {
                return self.truncatedV4(bytes[12], bytes[13], bytes[14])
            }
            let groups = [0, 2, 4].map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }
            return groups.joined(separator: ":") + "::"
        }
    }

    private static func truncatedV4(_ first: UInt8, _ second: UInt8, _ third: UInt8) -> String {
        "\(first).\(second).\(third).0"
    }
}
