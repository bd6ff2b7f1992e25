import Foundation
import Testing

@testable import TrackingModel

@Suite("Text in JSON")
struct JSONTextTests {
    /// RFC 8259 section 7, one byte after the other.
    private func escaped(_ text: [UInt8]) -> [UInt8] {
        text.flatMap { byte -> [UInt8] in
            let short: [UInt8: String] = [
                0x22: #"\""#, 0x5c: #"\\"#, 0x08: #"\b"#, 0x09: #"\t"#, 0x0a: #"\n"#, 0x0c: #"\f"#, 0x0d: #"\r"#,
            ]
            if let short = short[byte] { return Array(short.utf8) }
            return byte < 0x20 || byte == 0x7f ? Array(String(format: "\\u%04x", Int(byte)).utf8) : [byte]
        }
    }

    private func put(_ text: [UInt8]) -> [UInt8] {
        withUnsafeTemporaryAllocation(byteCount: 6 * text.count, alignment: 1) { memory in
            var bytes = ByteWriter(memory)
            bytes.putEscaped(text.span)
            return Array(bytes.written)
        }
    }

    @Test("both writers say what one byte after the other says, in random texts full of escapes", arguments: 0..<48)
    func reference(length: Int) {
        for _ in 0..<200 {
            let alphabet = Array("ab\"\\\u{1}\n\u{1f}\u{7f} ~é€😀".unicodeScalars)
            var text = ""
            for _ in 0..<length { text.unicodeScalars.append(alphabet.randomElement() ?? "a") }
            var json = JSONText()
            json.string(text)
            let expected = self.escaped(Array(text.utf8))
            #expect(json.bytes == [0x22] + expected + [0x22])
            #expect(self.put(Array(text.utf8)) == expected)
            #expect(JSONEscape.extraBytes(of: Array(text.utf8).span) == expected.count - text.utf8.count)
        }
    }

    @Test("each byte that needs an escape is found wherever it stands, and no other, whatever stands beside it")
    func places() {
        for byte in UInt8.min...UInt8.max {
            for neighbour in [UInt8(ascii: "a"), 0x21, 0xff] {
                #expect((0..<40).allSatisfy { self.isFound(byte, at: $0, beside: neighbour) })
            }
        }
    }

    private func isFound(_ byte: UInt8, at place: Int, beside neighbour: UInt8) -> Bool {
        var text = [UInt8](repeating: neighbour, count: 40)
        text[place] = byte
        let isNeeded = JSONEscape.isNeeded(byte)
        return JSONEscape.firstNeeded(in: text.span, from: 0) == (isNeeded ? place : 40)
            && JSONEscape.firstNeeded(in: text.span, from: place + 1) == 40
            && HeaderText(text.span).needsEscapes == isNeeded
            && HeaderText(text.span.extracting(place..<40)).needsEscapes == isNeeded
            && HeaderText(text.span).isText == (byte < 0x80 && neighbour < 0x80)
    }
}
