/// A header value as answers and events carry it.
public struct HeaderText {
    /// True: UTF-8 that can be copied as it is.
    public let isText: Bool
    /// True: as JSON string content some bytes need escapes.
    let needsEscapes: Bool

    /// Looks at the value once, eight bytes at a time; what is left at the end is looked at together with bytes before it.
    public init(_ value: Span<UInt8>) {
        var high: UInt64 = 0
        var special: UInt64 = 0
        value.withUnsafeBytes { bytes in
            var index = 0
            while index &+ 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                high |= word
                special |= Self.special(word)
                index &+= 8
            }
            if index < bytes.count, bytes.count >= 8 {
                let word = bytes.loadUnaligned(fromByteOffset: bytes.count &- 8, as: UInt64.self)
                high |= word
                special |= Self.special(word)
                index = bytes.count
            }
            while index < bytes.count {
                let byte = bytes[index]
                high |= UInt64(byte)
                if JSONEscape.isNeeded(byte) { special |= 0x80 }
                index &+= 1
            }
        }
        self.isText = high & 0x8080_8080_8080_8080 == 0 || UTF8Text.isValid(value)
        self.needsEscapes = special & 0x8080_8080_8080_8080 != 0
    }

    /// The high bit of each byte that is below 0x20, `"`, `\` or 0x7f. May also mark the byte above such a one.
    @inline(__always)
    private static func special(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let control = (word &- ones &* 0x20) & ~word
        let quote = word ^ (ones &* 0x22)
        let backslash = word ^ (ones &* 0x5c)
        let delete = word ^ (ones &* 0x7f)
        return control | ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | ((delete &- ones) & ~delete)
    }

    /// The value with U+FFFD where it is no UTF-8.
    public static func repaired(_ value: Span<UInt8>) -> [UInt8] { Array(String(copying: value).utf8) }
}
