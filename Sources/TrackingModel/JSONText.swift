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
        JSONEscape.write(value.utf8.span) { piece in
            piece.withUnsafeBufferPointer { self.bytes.append(contentsOf: $0) }
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
