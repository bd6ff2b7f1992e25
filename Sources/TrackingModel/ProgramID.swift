/// The name of an advertising program: 1 to 64 of `A-Z a-z 0-9 _ -`.
///
/// The alphabet is closed so that an id can never be a path, a pattern or another key of Redis.
public struct ProgramID: Hashable, Sendable, CustomStringConvertible {
    public static let maximumBytes = 64

    public let text: String

    public init?(_ text: String) {
        var text = text
        let isValid = text.withUTF8 { Self.isValid($0.span) }
        guard isValid else { return nil }
        self.text = text
    }

    /// Bytes as they came from outside; nil when they are no id.
    public init?(bytes: Span<UInt8>) {
        guard Self.isValid(bytes) else { return nil }
        self.text = String(copying: bytes)
    }

    public var description: String { self.text }

    public static func isValid(_ bytes: Span<UInt8>) -> Bool {
        guard 1...Self.maximumBytes ~= bytes.count else { return false }
        for index in bytes.indices where !Self.allows(bytes[index]) { return false }
        return true
    }

    @inline(__always)
    static func allows(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default:
            false
        }
    }
}

extension String {
    /// Text of bytes from outside; what is no UTF-8 becomes U+FFFD.
    public init(copying bytes: Span<UInt8>) {
        self = bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }
}
