/// A header value as answers and events carry it.
public struct HeaderText {
    /// True: UTF-8 that can be copied as it is.
    public let isText: Bool
    /// True: as JSON string content some bytes need escapes.
    let needsEscapes: Bool

    /// Looks at the value once, sixteen bytes at a time; what is left at the end is looked at together with bytes before it.
    public init(_ value: Span<UInt8>) {
        let bytes = value.bytes
        var union = SIMD2<UInt64>()
        var marks = SIMD2<UInt64>()
        var index = 0
        while index < bytes.byteCount, bytes.byteCount >= 16 {
            let start = min(index, bytes.byteCount &- 16)
            let sixteen = bytes.unsafeLoadUnaligned(fromByteOffset: start, as: SIMD2<UInt64>.self)
            union |= sixteen
            marks |= JSONEscape.marks(sixteen)
            index &+= 16
        }
        while index < value.count {
            union[0] |= UInt64(value[index])
            if JSONEscape.isNeeded(value[index]) { marks[0] = 1 }
            index &+= 1
        }
        self.isText = (union[0] | union[1]) & 0x8080_8080_8080_8080 == 0 || UTF8Text.isValid(value)
        self.needsEscapes = marks[0] | marks[1] != 0
    }

    /// The value with U+FFFD where it is no UTF-8.
    public static func repaired(_ value: Span<UInt8>) -> [UInt8] { Array(String(copying: value).utf8) }
}
