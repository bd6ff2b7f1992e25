/// RFC 3986 section 2.1, strictly and once.
public enum PercentEncoding {
    /// Appends the decoded text. False: `%` without two hexadecimal digits, a fragment, a control character, or no UTF-8.
    public static func decode(_ text: Span<UInt8>, into bytes: inout [UInt8]) -> Bool {
        let start = bytes.count
        var union: UInt8 = 0
        var index = 0
        while index < text.count {
            var byte = text[index]
            index += 1
            if byte == UInt8(ascii: "%") {
                guard index + 1 < text.count, let high = self.hexValue(text[index]),
                    let low = self.hexValue(text[index + 1])
                else { return false }
                byte = high << 4 | low
                index += 2
            } else if byte == UInt8(ascii: "#") {
                return false
            }
            guard byte >= 0x20, byte != 0x7f else { return false }
            union |= byte
            bytes.append(byte)
        }
        return union < 0x80 || self.isText(bytes.span.extracting(start..<bytes.count))
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// UTF-8 without the control characters U+0080 to U+009F, which are `C2 80` to `C2 9F`.
    private static func isText(_ bytes: Span<UInt8>) -> Bool {
        guard UTF8Text.isValid(bytes) else { return false }
        for index in 1..<bytes.count where bytes[index - 1] == 0xc2 && bytes[index] < 0xa0 { return false }
        return true
    }
}

/// UTF-8 (RFC 3629) from outside.
public enum UTF8Text {
    public static func isValid(_ bytes: Span<UInt8>) -> Bool {
        (try? UTF8Span(validating: bytes)) != nil
    }
}

extension Span where Element == UInt8 {
    /// The end of the span when the byte is not there.
    func firstIndex(of byte: UInt8, from start: Int) -> Int {
        var index = start
        while index < self.count, self[index] != byte { index += 1 }
        return index
    }
}
