/// Writes JSON (RFC 8259) into bytes: for the texts of core data, never on the request path.
public struct JSONText {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func beginObject() {
        self.separate()
        self.bytes.append(UInt8(ascii: "{"))
    }

    public mutating func endObject() { self.bytes.append(UInt8(ascii: "}")) }

    public mutating func key(_ name: String) {
        self.string(name)
        self.bytes.append(UInt8(ascii: ":"))
    }

    public mutating func field(_ name: String, _ value: String) {
        self.key(name)
        self.string(value)
    }

    public mutating func field(_ name: String, _ value: Int64) {
        self.field(name, raw: Array(String(value).utf8))
    }

    public mutating func field(_ name: String, _ value: Bool) {
        self.field(name, raw: Array((value ? "true" : "false").utf8))
    }

    public mutating func field(_ name: String, _ values: [String]) {
        self.key(name)
        self.array(values) { $0.string($1) }
    }

    public mutating func field(_ name: String, raw json: [UInt8]) {
        self.key(name)
        self.bytes += json
    }

    public mutating func string(_ value: String) {
        self.separate()
        self.bytes.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            if JSONEscape.isNeeded(byte) {
                JSONEscape.write(byte) { self.bytes.append($0) }
            } else {
                self.bytes.append(byte)
            }
        }
        self.bytes.append(UInt8(ascii: "\""))
    }

    public mutating func array<Element>(_ elements: [Element], _ write: (inout JSONText, Element) -> Void) {
        self.separate()
        self.bytes.append(UInt8(ascii: "["))
        for element in elements { write(&self, element) }
        self.bytes.append(UInt8(ascii: "]"))
    }

    /// A comma where another value precedes.
    private mutating func separate() {
        switch self.bytes.last {
        case nil, UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: ":"): break
        default: self.bytes.append(UInt8(ascii: ","))
        }
    }
}

/// The two-character and `\u00XX` forms of RFC 8259 section 7.
public enum JSONEscape {
    @inline(__always)
    public static func isNeeded(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0x7f
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
