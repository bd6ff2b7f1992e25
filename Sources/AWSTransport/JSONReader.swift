/// What is read is no JSON, or not of the shape that was asked for.
struct JSONFault: Error, Equatable {
    /// Bytes before the place.
    var offset: Int
}

/// Reads a JSON document (RFC 8259) from front to back, strictly, without a tree; never traps, whatever the bytes.
struct JSONReader {
    private let bytes: [UInt8]
    private(set) var position = 0
    /// Containers that are open.
    private var depth = 0
    private static let maximumDepth = 64

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var fault: JSONFault { JSONFault(offset: self.position) }

    /// Calls `field` with each key of an object; it must read the value.
    mutating func object(_ field: (inout JSONReader, String) throws(JSONFault) -> Void) throws(JSONFault) {
        try self.open(UInt8(ascii: "{"))
        if self.closes(UInt8(ascii: "}")) { return }
        repeat {
            let key = try self.string()
            try self.expect(UInt8(ascii: ":"))
            try field(&self, key)
        } while self.takes(UInt8(ascii: ","))
        try self.close(UInt8(ascii: "}"))
    }

    /// Calls `element` for each element of an array; it must read it.
    mutating func array(_ element: (inout JSONReader) throws(JSONFault) -> Void) throws(JSONFault) {
        try self.open(UInt8(ascii: "["))
        if self.closes(UInt8(ascii: "]")) { return }
        repeat { try element(&self) } while self.takes(UInt8(ascii: ","))
        try self.close(UInt8(ascii: "]"))
    }

    mutating func string() throws(JSONFault) -> String {
        let (content, isEscaped) = try self.stringContent()
        guard isEscaped else {
            guard let text = String(validating: self.bytes[content], as: UTF8.self) else { throw self.fault }
            return text
        }
        return try self.unescaped(content)
    }

    /// The bytes of a string that has no escapes, for what is base64.
    mutating func plainString() throws(JSONFault) -> ArraySlice<UInt8> {
        let (content, isEscaped) = try self.stringContent()
        if isEscaped { return ArraySlice(try self.unescaped(content).utf8) }
        return self.bytes[content]
    }

    /// nil for JSON's null.
    mutating func optionalString() throws(JSONFault) -> String? {
        try self.takesNull() ? nil : self.string()
    }

    mutating func integer() throws(JSONFault) -> Int {
        let text = try self.number()
        guard let value = Int(String(decoding: self.bytes[text], as: UTF8.self)) else { throw self.fault }
        return value
    }

    /// A number with or without a fraction.
    mutating func decimal() throws(JSONFault) -> Double {
        let text = try self.number()
        guard let value = Double(String(decoding: self.bytes[text], as: UTF8.self)), value.isFinite else {
            throw self.fault
        }
        return value
    }

    mutating func boolean() throws(JSONFault) -> Bool {
        if self.next() == UInt8(ascii: "t") {
            try self.word("true")
            return true
        }
        try self.word("false")
        return false
    }

    /// Reads null if it is next.
    mutating func takesNull() throws(JSONFault) -> Bool {
        guard self.next() == UInt8(ascii: "n") else { return false }
        try self.word("null")
        return true
    }

    /// Reads a value of any kind.
    mutating func skip() throws(JSONFault) {
        switch self.next() {
        case UInt8(ascii: "{"): try self.object { reader, _ throws(JSONFault) in try reader.skip() }
        case UInt8(ascii: "["): try self.array { reader throws(JSONFault) in try reader.skip() }
        case UInt8(ascii: "\""): _ = try self.string()
        case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try self.boolean()
        case UInt8(ascii: "n"): _ = try self.takesNull()
        default: _ = try self.number()
        }
    }

    /// Nothing but white space is left.
    mutating func end() throws(JSONFault) {
        if self.next() != nil { throw self.fault }
    }
}

extension JSONReader {
    private func peek(_ offset: Int = 0) -> UInt8? {
        let place = self.position + offset
        return place < self.bytes.count ? self.bytes[place] : nil
    }

    /// The byte after white space.
    private mutating func next() -> UInt8? {
        while let byte = self.peek() {
            guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return byte }
            self.position += 1
        }
        return nil
    }

    private mutating func takes(_ byte: UInt8) -> Bool {
        guard self.next() == byte else { return false }
        self.position += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(JSONFault) {
        guard self.takes(byte) else { throw self.fault }
    }

    private mutating func open(_ byte: UInt8) throws(JSONFault) {
        guard self.depth < Self.maximumDepth else { throw self.fault }
        try self.expect(byte)
        self.depth += 1
    }

    private mutating func close(_ byte: UInt8) throws(JSONFault) {
        try self.expect(byte)
        self.depth -= 1
    }

    /// Whether a container that was just opened is empty.
    private mutating func closes(_ byte: UInt8) -> Bool {
        guard self.takes(byte) else { return false }
        self.depth -= 1
        return true
    }

    private mutating func word(_ text: StaticString) throws(JSONFault) {
        let expected = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard self.bytes[self.position...].starts(with: expected) else { throw self.fault }
        self.position += expected.count
    }

    /// Reads up to the closing quote; checks everything but the escapes.
    private mutating func stringContent() throws(JSONFault) -> (content: Range<Int>, isEscaped: Bool) {
        try self.expect(UInt8(ascii: "\""))
        let start = self.position
        var isEscaped = false
        while let byte = self.peek() {
            switch byte {
            case UInt8(ascii: "\""):
                self.position += 1
                return (start..<(self.position - 1), isEscaped)
            case UInt8(ascii: "\\"):
                isEscaped = true
                self.position = min(self.position + 2, self.bytes.count)
            case 0..<0x20: throw self.fault
            default: self.position += 1
            }
        }
        throw self.fault
    }

    private func unescaped(_ content: Range<Int>) throws(JSONFault) -> String {
        var units: [UInt16] = []
        var text: [UInt8] = []
        var index = content.lowerBound
        while index < content.upperBound {
            guard self.bytes[index] == UInt8(ascii: "\\"), index + 1 < content.upperBound else {
                try self.flush(&units, into: &text)
                text.append(self.bytes[index])
                index += 1
                continue
            }
            let escape = self.bytes[index + 1]
            index += 2
            if escape == UInt8(ascii: "u") {
                units.append(try self.hexUnit(index, before: content.upperBound))
                index += 4
            } else {
                try self.flush(&units, into: &text)
                text.append(try self.plainEscape(escape))
            }
        }
        try self.flush(&units, into: &text)
        guard let string = String(validating: text, as: UTF8.self) else { throw self.fault }
        return string
    }

    /// Surrogates belong together only when they follow each other.
    private func flush(_ units: inout [UInt16], into text: inout [UInt8]) throws(JSONFault) {
        guard !units.isEmpty else { return }
        guard let string = String(validating: units, as: UTF16.self) else { throw self.fault }
        text += string.utf8
        units.removeAll(keepingCapacity: true)
    }

    private func hexUnit(_ index: Int, before end: Int) throws(JSONFault) -> UInt16 {
        guard index + 4 <= end else { throw self.fault }
        var unit: UInt16 = 0
        for byte in self.bytes[index..<(index + 4)] {
            guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else { throw self.fault }
            unit = unit << 4 | UInt16(digit)
        }
        return unit
    }

    private func plainEscape(_ byte: UInt8) throws(JSONFault) -> UInt8 {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "n"): 0x0a
        case UInt8(ascii: "f"): 0x0c
        case UInt8(ascii: "r"): 0x0d
        default: throw self.fault
        }
    }

    /// RFC 8259 section 6: no plus, no leading zeros, digits on both sides of the point.
    private mutating func number() throws(JSONFault) -> Range<Int> {
        _ = self.next()
        let start = self.position
        if self.peek() == UInt8(ascii: "-") { self.position += 1 }
        if self.peek() == UInt8(ascii: "0") { self.position += 1 } else { try self.digits() }
        if self.peek() == UInt8(ascii: ".") {
            self.position += 1
            try self.digits()
        }
        if let sign = self.peek(), sign | 0x20 == UInt8(ascii: "e") {
            self.position += 1
            if let sign = self.peek(), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { self.position += 1 }
            try self.digits()
        }
        return start..<self.position
    }

    private mutating func digits() throws(JSONFault) {
        let start = self.position
        while let byte = self.peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { self.position += 1 }
        if self.position == start { throw self.fault }
    }
}
