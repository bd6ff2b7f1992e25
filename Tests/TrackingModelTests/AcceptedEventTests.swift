import Foundation
import SwiftProtobuf
import Testing

@testable import TrackingModel

@Suite("An accepted event")
struct AcceptedEventTests {
    private static let id = MessageID(high: 0x017f_22e2_79b0_7cc3, low: 0x98c4_dc0c_0c07_398f)

    private struct Written {
        var event: [UInt8]
        var id: Range<Int>
        var maximum: Int
        var answer: [UInt8]
        var answerBytes: Int
    }

    private func write(
        _ program: Program,
        _ query: String = "",
        userAgent: [UInt8] = [],
        referrer: [UInt8] = [],
        address: [UInt8] = [],
        milliseconds: Int64 = Judging.noon
    ) -> Written {
        var request = TrackingRequest()
        let isRead = request.read(query: Array(query.utf8).span)
        #expect(isRead)
        let event = AcceptedEvent(
            program: RenderedProgram(program),
            messageID: Self.id,
            time: Timestamp(milliseconds: milliseconds),
            userAgent: userAgent.span,
            referrer: referrer.span,
            clientAddress: address.span
        )
        let maximum = event.maximumEventBytes(request)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: maximum + event.answerBytes, alignment: 1)
        defer { memory.deallocate() }
        var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: memory[..<maximum]))
        let id = event.putEvent(request, to: &writer)
        var answer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: memory[maximum...]))
        event.putAnswer(to: &answer)
        return Written(
            event: Array(memory[..<writer.count]),
            id: id,
            maximum: maximum,
            answer: Array(memory[maximum..<maximum + answer.count]),
            answerBytes: event.answerBytes
        )
    }

    private func program(_ id: String = "p") throws -> Program {
        var program = Program(id: try #require(ProgramID(id)))
        program.isValid = true
        return program
    }

    private func decoded(_ bytes: [UInt8]) throws -> Adtrack_TrackingEvent {
        try Adtrack_TrackingEvent(serializedBytes: bytes)
    }

    @Test("fields 1 to 8 have the older schema's bytes")
    func golden() throws {
        var program = try self.program("212312")
        program.checksum = "c"
        program.customerID = 300
        program.name = "N"
        program.customerName = "C"
        let written = self.write(program, userAgent: Array("UA".utf8), milliseconds: 1)
        var expected: [UInt8] = [0x0a, 6] + Array("212312".utf8) + [0x12, 1, 0x63, 0x18, 0xac, 0x02]
        expected += [0x22, 2, 0x55, 0x41, 0x2a, 1, 0x4e, 0x32, 1, 0x43, 0x38, 1, 0x42, 36]
        expected += Array("017f22e2-79b0-7cc3-98c4-dc0c0c07398f".utf8)
        #expect(written.event == expected + [0x50, 1])
        #expect(written.event[written.id] == Array("017f22e2-79b0-7cc3-98c4-dc0c0c07398f".utf8)[...])
    }

    @Test("SwiftProtobuf reads what was written")
    func everyField() throws {
        var program = try self.program("abc")
        program.checksum = "sum"
        program.customerID = -5
        program.name = "Näme"
        program.customerName = "Cüstomer"
        program.version = 77
        let written = self.write(
            program,
            "type=conversion&checksum=sum&orderId=4711&b=&a=%C3%A4%26",
            userAgent: Array("Mozilla/5.0 ä".utf8),
            referrer: Array("https://example.com/?q=1".utf8),
            address: Array("192.0.2.0".utf8)
        )
        let event = try self.decoded(written.event)
        #expect(event.programid == "abc" && event.checksum == "sum" && event.customerID == -5)
        #expect(event.userAgent == "Mozilla/5.0 ä" && event.programName == "Näme" && event.customerName == "Cüstomer")
        #expect(event.isValid && event.messageID == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        #expect(event.eventType == .conversion && event.time == Judging.noon && event.programVersion == 77)
        #expect(event.parameters == ["orderId": "4711", "b": "", "a": "ä&"])
        #expect(event.referrer == "https://example.com/?q=1" && event.clientAddress == "192.0.2.0")
        #expect(event.unknownFields.data.isEmpty)
    }

    @Test("each type is the protobuf's", arguments: ["click", "impression", "conversion"])
    func types(name: String) throws {
        let event = try self.decoded(self.write(try self.program(), "type=" + name).event)
        let expected: [String: Adtrack_EventType] = [
            "click": .click, "impression": .impression, "conversion": .conversion,
        ]
        #expect(event.eventType == expected[name])
    }

    @Test(
        "a parameter of any length is one entry of the map",
        arguments: [0, 1, 125, 126, 127, 128, 16_377, 16_383, 16_384, 60_000]
    )
    func longParameters(length: Int) throws {
        let value = String(repeating: "v", count: length)
        let written = self.write(try self.program(), "n=\(value)&\(value)x=")
        #expect(written.event.count <= written.maximum)
        let event = try self.decoded(written.event)
        #expect(event.parameters == ["n": value, value + "x": ""])
    }

    @Test("no event is longer than was announced, and each can be read")
    func property() throws {
        var random = SeededBits(state: 11)
        func text(_ most: Int) -> String {
            let letters = Array("ab&\"\\ä€😀\u{7f}\u{1}".unicodeScalars)
            let length =
                Bool.random(using: &random)
                ? Int.random(in: 0...3, using: &random) : Int.random(in: 0...most, using: &random)
            var text = ""
            for _ in 0..<length {
                text.unicodeScalars.append(letters[Int.random(in: 0..<letters.count, using: &random)])
            }
            return text
        }
        for _ in 0..<1_500 {
            var program = try self.program(String(repeating: "i", count: Int.random(in: 1...64, using: &random)))
            program.name = text(300)
            program.checksum = text(200)
            program.customerName = text(300)
            program.customerID = Int32.random(in: .min ... .max, using: &random)
            program.version = Int64.random(in: 0 ... .max, using: &random)
            let query = (0..<Int.random(in: 0...128, using: &random)).map { index in
                "\(index)" + String(repeating: "n", count: Int.random(in: 0...150, using: &random)) + "="
                    + String(repeating: "v", count: Int.random(in: 0...150, using: &random))
            }
            let written = self.write(
                program,
                query.joined(separator: "&"),
                userAgent: Array(text(400).utf8),
                referrer: Array(text(400).utf8),
                address: Array(text(40).utf8),
                milliseconds: Int64.random(in: .min ... .max, using: &random)
            )
            #expect(written.event.count <= written.maximum)
            #expect(written.answer.count == written.answerBytes)
            let event = try self.decoded(written.event)
            #expect(event.parameters.count == query.count)
            #expect(event.programName == program.name && event.customerID == program.customerID)
        }
    }

    @Test("the answer has the contract's keys in its form")
    func answer() throws {
        var program = try self.program("212312")
        program.name = "N"
        program.checksum = "c"
        program.customerID = -7
        program.customerName = "C"
        let expected =
            #"{"userAgent":"UA/1","programId":"212312","programName":"N","checksum":"c","customerId":-7,"customerName":"C","#
            + #""messageId":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f","valid":true}"#
        let written = self.write(program, userAgent: Array("UA/1".utf8))
        #expect(String(decoding: written.answer, as: UTF8.self) == expected)
    }

    @Test("an absent User-Agent is an empty string")
    func noUserAgent() throws {
        let answer = self.write(try self.program()).answer
        #expect(String(decoding: answer, as: UTF8.self).hasPrefix(#"{"userAgent":"","#))
    }

    @Test(
        "a hostile User-Agent comes back as the same text",
        arguments: [
            #"""#, #"\"#, #"\""#, #"","valid":false,"x":""#, "\t", "a\tb", "\u{7f}", "ä€😀", "\u{2028}", "</script>",
            "{}",
            "\u{1}\u{1f}\u{8}\u{c}\r\n", #"0123456"89\abcdef""#, #"1234567"9"#, #"\\\\\\\\\\\\\\\\"#, "a/b",
            String(repeating: #"""#, count: 8_192), String(repeating: "x", count: 8_192),
            String(repeating: "é", count: 4_096),
        ]
    )
    func hostile(userAgent: String) throws {
        let written = self.write(try self.program(), userAgent: Array(userAgent.utf8))
        #expect(written.answer.count == written.answerBytes)
        let object = try JSONSerialization.jsonObject(with: Data(written.answer)) as? [String: Any]
        #expect(object?["userAgent"] as? String == userAgent)
        #expect(
            Set(try #require(object).keys) == [
                "userAgent", "programId", "programName", "checksum", "customerId", "customerName", "messageId", "valid",
            ]
        )
        #expect(try self.decoded(written.event).userAgent == userAgent)
    }

    @Test(
        "what is no UTF-8 is found and repaired",
        arguments: [
            [0xff], [0x80], [0xc3], [0xc3, 0x28], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80],
            Array("0123456789".utf8) + [0xe2, 0x82],
        ] as [[UInt8]]
    )
    func notText(bytes: [UInt8]) throws {
        #expect(!HeaderText(bytes.span).isText)
        let repaired = HeaderText.repaired(bytes.span)
        #expect(HeaderText(repaired.span).isText)
        let written = self.write(try self.program(), userAgent: repaired)
        #expect(try self.decoded(written.event).userAgent.unicodeScalars.contains("\u{fffd}"))
        #expect(try JSONSerialization.jsonObject(with: Data(written.answer)) is [String: Any])
    }

    @Test("core data that needs escapes is escaped in the answer")
    func hostileProgram() throws {
        var program = try self.program()
        program.name = "\"},{\\\n\u{7f}ä"
        program.checksum = "\t"
        program.customerName = "\""
        let answer = self.write(program).answer
        let object = try JSONSerialization.jsonObject(with: Data(answer)) as? [String: Any]
        #expect(object?["programName"] as? String == program.name)
        #expect(object?["checksum"] as? String == "\t")
        #expect(object?["customerName"] as? String == "\"")
    }
}
