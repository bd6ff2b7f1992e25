import Foundation

/// A client that sends exactly the bytes it is told to, and reads responses one by one; blocking, with a deadline.
public final class RawConnection {
    /// How the other side ended a connection.
    public enum Ending: Equatable, Sendable {
        case closed
        case reset
        /// It is still open after the time that was given.
        case open
    }

    private let descriptor: CInt
    private var received: [UInt8] = []
    private var ending: Ending?

    /// - Parameter timeout: of each single read or write.
    public init(port: Int, timeout: Duration = .seconds(10)) throws {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ServiceFailure("no socket: \(Self.reason)") }
        setTimeout(timeout)
        var one: CInt = 1
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port)).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                connect(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else {
            let reason = Self.reason
            close(descriptor)
            throw ServiceFailure("cannot connect to port \(port): \(reason)")
        }
    }

    deinit {
        close(descriptor)
    }

    private static var reason: String { String(cString: strerror(errno)) }

    private func setTimeout(_ timeout: Duration) {
        let microseconds = max(1, Int(timeout / .microseconds(1)))
        var value = timeval(tv_sec: microseconds / 1_000_000, tv_usec: microseconds % 1_000_000)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    // MARK: Sending

    /// Sends as much as the other side takes; false when it has closed or does not take it in time.
    @discardableResult
    public func send(_ bytes: [UInt8]) -> Bool { Self.send(bytes, to: descriptor) }

    /// As ``send(_:)``, on a thread of its own, while answers are read. The connection has to live until all have come.
    public func sendMeanwhile(_ bytes: [UInt8]) {
        let descriptor = descriptor
        Thread.detachNewThread { Self.send(bytes, to: descriptor) }
    }

    @discardableResult
    private static func send(_ bytes: [UInt8], to descriptor: CInt) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor,
                    $0.baseAddress.map { $0 + sent },
                    bytes.count - sent,
                    CInt(MSG_NOSIGNAL)
                )
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    @discardableResult
    public func send(_ text: String) -> Bool {
        send(Array(text.utf8))
    }

    /// Every byte in a segment of its own.
    @discardableResult
    public func sendByteByByte(_ text: String) -> Bool {
        text.utf8.allSatisfy { send([$0]) }
    }

    /// Nothing more will be sent; answers are still read.
    public func halfClose() {
        shutdown(descriptor, CInt(SHUT_WR))
    }

    /// Makes the coming close a reset, as of a client that crashed.
    public func resetOnClose() {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    // MARK: Receiving

    public func exchange(_ target: String, method: String = "GET", headers: [String] = []) throws -> RawResponse {
        send(Self.request(target, method: method, headers: headers))
        return try response(toHead: method == "HEAD")
    }

    public static func request(_ target: String, method: String = "GET", headers: [String] = []) -> String {
        let lines = ["\(method) \(target) HTTP/1.1", "Host: localhost"] + headers
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    /// The next response; throws when the connection ends or nothing comes in time.
    public func response(toHead: Bool = false) throws -> RawResponse {
        while true {
            if let (response, length) = try RawResponse.parse(received, toHead: toHead) {
                received.removeFirst(length)
                return response
            }
            guard readMore() else {
                throw ServiceFailure(
                    "no response but \(ending.map { "\($0)" } ?? "silence") after '\(String(decoding: received, as: UTF8.self))'"
                )
            }
        }
    }

    /// All responses until the other side closes, or nothing more comes for `quiet`.
    public func responses(quiet: Duration) throws -> (responses: [RawResponse], ending: Ending) {
        setTimeout(quiet)
        var responses: [RawResponse] = []
        repeat {
            while let (response, length) = try RawResponse.parse(received, toHead: false) {
                received.removeFirst(length)
                responses.append(response)
            }
        } while readMore()
        guard received.isEmpty else {
            throw ServiceFailure("after the responses came '\(String(decoding: received, as: UTF8.self))'")
        }
        return (responses, ending ?? .open)
    }

    /// How the connection stands after `limit`; what comes before the end is kept.
    public func ending(within limit: Duration) -> Ending {
        setTimeout(limit)
        while readMore() {}
        return ending ?? .open
    }

    private func readMore() -> Bool {
        guard ending == nil else { return false }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                received += chunk[..<count]
                return true
            }
            if count == 0 { ending = .closed }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == ECONNRESET || errno == EPIPE { ending = .reset }
            return false
        }
    }
}

/// One response as it came.
public struct RawResponse: Sendable {
    public let status: Int
    public let version: String
    public let fields: [(name: String, value: String)]
    public let body: [UInt8]

    /// The value of the only field of that name.
    public subscript(name: String) -> String? {
        let values = fields.filter { $0.name.lowercased() == name.lowercased() }
        return values.count == 1 ? values[0].value : nil
    }

    public var text: String { String(decoding: body, as: UTF8.self) }

    /// The body as a JSON object.
    public var json: [String: JSON] {
        get throws { try JSONDecoder().decode([String: JSON].self, from: Data(body)) }
    }

    /// The field `error` of a refusal.
    public var code: String? { (try? json)?["error"]?.text }

    /// Nil while it is incomplete.
    static func parse(_ bytes: [UInt8], toHead: Bool) throws -> (RawResponse, Int)? {
        let separator = Array("\r\n\r\n".utf8)
        guard let end = bytes.firstRange(of: separator) else { return nil }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        let first = lines[0].split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard first.count == 3, first[0].hasPrefix("HTTP/1."), first[1].count == 3, let status = Int(first[1]) else {
            throw ServiceFailure("no status line: '\(lines[0])'")
        }
        let fields = try lines.dropFirst().map { line in
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else {
                throw ServiceFailure("no field: '\(line)'")
            }
            return (
                name: String(line[..<colon]),
                value: line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            )
        }
        let lengths = fields.filter { $0.name.lowercased() == "content-length" }
        guard lengths.count == 1, let length = Int(lengths[0].value), length >= 0 else {
            throw ServiceFailure("not one Content-Length: \(lines)")
        }
        let total = end.upperBound + (toHead ? 0 : length)
        guard bytes.count >= total else { return nil }
        let body = Array(bytes[end.upperBound..<total])
        return (RawResponse(status: status, version: String(first[0]), fields: fields, body: body), total)
    }
}

/// A JSON value of any kind.
public enum JSON: Decodable, Equatable, Sendable {
    case null
    case flag(Bool)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .flag(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSON].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSON].self))
        }
    }

    public var text: String? { if case .string(let value) = self { value } else { nil } }
    public var number: Double? { if case .number(let value) = self { value } else { nil } }
    public var flag: Bool? { if case .flag(let value) = self { value } else { nil } }
    public var object: [String: JSON]? { if case .object(let value) = self { value } else { nil } }
}
