import Testing

@testable import TrackingModel

@Suite("A tracking request's query")
struct TrackingRequestTests {
    /// The parameters as text; nil: malformed.
    private func read(_ query: [UInt8]) -> [String]? {
        var request = TrackingRequest()
        guard request.read(query: query.span) else { return nil }
        return request.parameters.indices.map {
            String(decoding: request.name($0), as: UTF8.self) + "=" + String(decoding: request.value($0), as: UTF8.self)
        }
    }

    private func read(_ query: String) -> [String]? { self.read(Array(query.utf8)) }

    @Test(
        "names and values are decoded once",
        arguments: [
            ("", []), ("a=1", ["a=1"]), ("a", ["a="]), ("a=", ["a="]), ("a=b=c", ["a=b=c"]), ("a=&b", ["a=", "b="]),
            ("a==", ["a=="]), ("a=1+2", ["a=1+2"]), ("a%3Db=c%26d", ["a=b=c&d"]), ("a=%2541", ["a=%41"]),
            ("%61=%62", ["a=b"]), ("a=%2b%2B", ["a=++"]), ("a=%C3%A4", ["a=ä"]), ("a=ä", ["a=ä"]),
            ("a=%F0%9F%98%80", ["a=😀"]), ("a=%EF%BF%BD", ["a=\u{fffd}"]), ("a=%C2%A0", ["a=\u{a0}"]),
            ("b=2&a=1", ["b=2", "a=1"]), ("a=1&A=2", ["a=1", "A=2"]), ("a=?/:@!$'()*,;", ["a=?/:@!$'()*,;"]),
            ("type=click&checksum=c&a=1", ["a=1"]), ("%74ype=click&a=1", ["a=1"]), ("a=%20", ["a= "]),
        ] as [(String, [String])]
    )
    func decodes(query: String, parameters: [String]) {
        #expect(self.read(query) == parameters)
    }

    @Test(
        "what is malformed is a bad request",
        arguments: [
            "&", "a&", "&a", "a&&b", "=", "=1", "a=1&=2", "%", "a=%", "a=%4", "a=%4&b", "a=%G0", "a=%0G", "%zz=1",
            "a=% 41",
            "a=%+1", "a=1&a=2", "a=1&a", "a&%61", "type=click&type=click", "type=&type", "checksum=a&checksum=a",
            "checksum&checksum", "a=%00", "a=%0A", "a=%0d%0a", "a=%09", "a=%1f", "a=%7F", "%00=1", "a=%C2%80",
            "a=%c2%9F",
            "a=%FF", "a=%C3", "a=%C3%28", "a=%C0%80", "a=%ED%A0%80", "a=%F5%80%80%80", "a=%E2%82", "a=#", "a#b", "#",
            "a=%C3&b=%A4",
        ]
    )
    func refuses(query: String) {
        #expect(self.read(query) == nil)
    }

    @Test("raw bytes that are no text are malformed", arguments: [0xff, 0x80, 0xc3, 0x00, 0x09, 0x1f, 0x7f] as [UInt8])
    func rawBytes(byte: UInt8) {
        #expect(self.read(Array("a=".utf8) + [byte]) == nil)
        #expect(self.read([byte]) == nil)
    }

    @Test("each byte value, escaped, is either itself or malformed")
    func eachEscape() {
        for byte in UInt8.min...UInt8.max {
            let hex = String(byte, radix: 16)
            let isText = 0x20..<0x7f ~= byte
            let read = self.read("a=%" + (hex.count == 1 ? "0" : "") + hex)
            #expect(read == (isText ? ["a=" + String(UnicodeScalar(byte))] : nil))
        }
    }

    @Test("128 parameters are read, 129 are not; type and checksum do not count")
    func bound() throws {
        func query(_ count: Int) -> String { (0..<count).map { "p\($0)=\($0)" }.joined(separator: "&") }
        #expect(self.read(query(128))?.count == 128)
        #expect(self.read("type=click&" + query(128) + "&checksum=x")?.count == 128)
        #expect(self.read(query(129)) == nil)
    }

    @Test("an id is 1 to 64 of its alphabet")
    func ids() {
        for text in ["a", "Z", "0", "_", "-", "212312", String(repeating: "x", count: 64)] {
            #expect(ProgramID(text)?.text == text)
            #expect(ProgramID(bytes: Array(text.utf8).span)?.text == text)
        }
        let none = [
            "", String(repeating: "x", count: 65), "a b", "a/b", "a.b", "ä", "a%", "a\0", "a\n", "*", "a:b", "٣",
        ]
        for text in none {
            #expect(ProgramID(text) == nil)
            #expect(ProgramID(bytes: Array(text.utf8).span) == nil)
        }
        for byte in UInt8.min...UInt8.max {
            let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-".utf8.contains(byte)
            #expect(ProgramID.isValid([byte].span) == allowed)
        }
    }
}
