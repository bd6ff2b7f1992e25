import NIOCore

/// Reads the little of a response that a load generator needs: status, where the body ends, whether the connection goes on.
struct ResponseParser {
    struct Response: Equatable {
        var status: Int
        var closes: Bool
        /// The body's place among the readable bytes; its end is where the next response begins.
        var body: Range<Int>
    }

    enum Outcome: Equatable {
        case incomplete
        case response(Response)
        /// The head has no length: the body ends with the connection.
        case untilClose(status: Int)
        case malformed
    }

    /// A head or body beyond these is not one of a tracking service.
    static let longestHead = 65_536
    static let longestBody = 16 << 20

    /// The first whole response of the readable bytes, which stay where they are.
    func next(in buffer: ByteBuffer) -> Outcome {
        buffer.withUnsafeReadableBytes { read($0) }
    }

    private func read(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let headEnd = endOfHead(bytes) else {
            return bytes.count > Self.longestHead ? .malformed : .incomplete
        }
        guard let (status, isOld) = statusLine(bytes) else { return .malformed }
        var length: Int? = status == 204 || status == 304 || status < 200 ? 0 : nil
        var closes = isOld
        var start = 0
        while let lineEnd = endOfLine(bytes, from: start), lineEnd < headEnd {
            let line = UnsafeRawBufferPointer(rebasing: bytes[(start == 0 ? lineEnd : start)..<lineEnd])
            start = lineEnd + 2
            if let value = Self.value(of: "content-length", in: line) {
                guard let number = Self.decimal(value), number <= Self.longestBody else { return .malformed }
                length = number
            } else if let value = Self.value(of: "connection", in: line) {
                closes = Self.equals(value, "close") || (isOld && !Self.equals(value, "keep-alive"))
            } else if Self.value(of: "transfer-encoding", in: line) != nil {
                return .malformed
            }
        }
        guard let length else { return .untilClose(status: status) }
        guard bytes.count >= headEnd + length else { return .incomplete }
        return .response(Response(status: status, closes: closes, body: headEnd..<headEnd + length))
    }

    /// The index behind the empty line.
    private func endOfHead(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var start = 0
        while let lineEnd = endOfLine(bytes, from: start) {
            if lineEnd == start { return lineEnd + 2 }
            start = lineEnd + 2
        }
        return nil
    }

    /// The index of the CR of the next CRLF.
    private func endOfLine(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var index = start
        while index + 1 < bytes.count {
            if bytes[index] == 0x0D, bytes[index + 1] == 0x0A { return index }
            index += 1
        }
        return nil
    }

    /// `HTTP/1.x NNN`: the status and whether the version is 1.0.
    private func statusLine(_ bytes: UnsafeRawBufferPointer) -> (status: Int, isOld: Bool)? {
        guard bytes.count >= 13, bytes.starts(with: "HTTP/1.".utf8), bytes[8] == 0x20,
            let status = Self.decimal(UnsafeRawBufferPointer(rebasing: bytes[9..<12])), status >= 100,
            bytes[12] == 0x20 || bytes[12] == 0x0D
        else { return nil }
        return (status, bytes[7] == UInt8(ascii: "0"))
    }

    private static func value(of name: StaticString, in line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let length = name.utf8CodeUnitCount
        guard line.count > length, line[length] == UInt8(ascii: ":"),
            equals(UnsafeRawBufferPointer(rebasing: line[..<length]), name)
        else { return nil }
        var start = length + 1
        var end = line.count
        while start < end, line[start] == 0x20 || line[start] == 0x09 { start += 1 }
        while end > start, line[end - 1] == 0x20 || line[end - 1] == 0x09 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: line[start..<end])
    }

    /// `lowerCase` has no upper-case letters; only ASCII letters are folded.
    private static func equals(_ bytes: UnsafeRawBufferPointer, _ lowerCase: StaticString) -> Bool {
        guard bytes.count == lowerCase.utf8CodeUnitCount else { return false }
        let other = UnsafeRawBufferPointer(start: lowerCase.utf8Start, count: bytes.count)
        for index in 0..<bytes.count {
            let byte = bytes[index]
            let folded = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
            if folded != other[index] { return false }
        }
        return true
    }

    private static func decimal(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard !bytes.isEmpty, bytes.count <= 9 else { return nil }
        var value = 0
        for byte in bytes {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }
}
