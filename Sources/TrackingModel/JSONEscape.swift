/// The two-character and `\u00XX` forms of RFC 8259 section 7.
public enum JSONEscape {
    @inline(__always)
    public static func isNeeded(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0x7f
    }

    /// The high bit of each of sixteen bytes that needs an escape.
    ///
    /// No byte carries into the next one: only the lower seven bits are added to. A sum reaches the high bit when they are
    /// at least 0x20, other than `"`, other than `\`, and 0x7f.
    @inline(__always)
    static func marks(_ bytes: SIMD2<UInt64>) -> SIMD2<UInt64> {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let seven = bytes & (ones &* 0x7f)
        let plain =
            (seven &+ ones &* 0x60)
            & ((seven ^ ones &* UInt64(UInt8(ascii: "\""))) &+ ones &* 0x7f)
            & ((seven ^ ones &* UInt64(UInt8(ascii: "\\"))) &+ ones &* 0x7f)
            & ~(seven &+ ones)
        return ~(plain | bytes) & (ones &* 0x80)
    }

    /// The first byte that needs an escape; the end where there is none.
    static func firstNeeded(in text: Span<UInt8>, from start: Int) -> Int {
        let bytes = text.bytes
        var index = start
        while index &+ 16 <= bytes.byteCount {
            let marks = self.marks(bytes.unsafeLoadUnaligned(fromByteOffset: index, as: SIMD2<UInt64>.self))
            if marks[0] | marks[1] != 0 { break }
            index &+= 16
        }
        while index < text.count, !self.isNeeded(text[index]) { index &+= 1 }
        return index
    }

    /// A text as JSON string content: whole pieces of it that need no escape, and the bytes of each escape.
    @inline(__always)
    static func write(_ text: Span<UInt8>, _ put: (Span<UInt8>) -> Void) {
        var start = 0
        while start < text.count {
            let end = self.firstNeeded(in: text, from: start)
            if end > start { put(text.extracting(start..<end)) }
            guard end < text.count else { return }
            self.write(text[end]) { byte in put(CollectionOfOne(byte).span) }
            start = end &+ 1
        }
    }

    public static func write(_ byte: UInt8, _ put: (UInt8) -> Void) {
        put(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): put(byte)
        case 0x08: put(UInt8(ascii: "b"))
        case 0x09: put(UInt8(ascii: "t"))
        case 0x0a: put(UInt8(ascii: "n"))
        case 0x0c: put(UInt8(ascii: "f"))
        case 0x0d: put(UInt8(ascii: "r"))
        default:
            for character in "u00".utf8 { put(character) }
            put(Self.hexDigit(byte >> 4))
            put(Self.hexDigit(byte & 15))
        }
    }

    /// How many bytes longer a text is as JSON string content.
    public static func extraBytes(of text: Span<UInt8>) -> Int {
        var extra = 0
        for index in text.indices where self.isNeeded(text[index]) {
            self.write(text[index]) { _ in extra += 1 }
            extra -= 1
        }
        return extra
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
