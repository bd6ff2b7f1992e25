import HTTPIngress
import TrackingModel

/// What every request passes: the head, the query and the judgement, the event and the answer.
enum RequestBenchmarks {
    private static let browser = """
        GET /event/212312?type=click&campaign=spring HTTP/1.1\r\nHost: track.example.com\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\n\
        Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\nReferer: https://www.example.com/shop?q=1\r\n\
        Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n\
        Cookie: id=0123456789abcdef\r\n\r\n
        """
    private static let userAgent = Array("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0".utf8)

    static func heads() {
        Table.print("Request head")
        let short = Array("GET /event/212312?type=click HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
        for bytes in [Array(short), Array(self.browser.utf8)] {
            var parser = HeadParser(HeadLimits())
            Table.print(
                Measurement("  \(bytes.count) bytes", operations: 500_000) { count in
                    var length = 0
                    for _ in 0..<count {
                        if case .complete(let end) = parser.parse(bytes.span) { length &+= end }
                    }
                    return length
                }
            )
        }
    }

    static func judgement() {
        Table.print("Query and judgement")
        let time = Timestamp(milliseconds: 1_795_253_400_000)
        let rules = ParameterRules(
            types: [.click, .conversion],
            allowed: ["campaign", "orderId", "amount", "currency"],
            required: ["campaign"],
            together: [["orderId", "amount", "currency"]],
            values: ["currency": ["EUR", "USD"]]
        )
        let rows: [(String, String, ParameterRules?)] = [
            ("no query, no rules", "", nil), ("type and campaign, no rules", "type=click&campaign=spring", nil),
            ("five parameters, every rule", "type=conversion&campaign=a&orderId=1&amount=2&currency=EUR", rules),
        ]
        for (name, query, rules) in rows {
            var program = self.program
            program.parameters = rules
            let rendered = RenderedProgram(program)
            let bytes = Array(query.utf8)
            var request = TrackingRequest()
            Table.print(
                Measurement("  \(name)", operations: 200_000) { count in
                    var accepted = 0
                    for _ in 0..<count where request.read(query: bytes.span) {
                        if judge(rendered, request, at: time) == nil { accepted += 1 }
                    }
                    return accepted
                }
            )
        }
    }

    static func encoding() {
        Table.print("Message id, event and answer")
        let time = Timestamp(milliseconds: 1_795_253_400_000)
        var generator = MessageIDGenerator()
        Table.print(
            Measurement("  message id", operations: 1_000_000) { count in
                var last = generator.next(at: time)
                var repeated = 0
                for _ in 0..<count {
                    let next = generator.next(at: time)
                    if next == last { repeated += 1 }
                    last = next
                }
                return repeated
            }
        )
        let program = RenderedProgram(self.program)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 16)
        defer { memory.deallocate() }
        var request = TrackingRequest()
        keep(request.read(query: Array("type=click&campaign=spring".utf8).span) ? 1 : 0)
        Table.print(
            Measurement("  event as protobuf", operations: 500_000) { count in
                var length = 0
                for _ in 0..<count {
                    let event = self.event(program, generator.next(at: time), time)
                    var bytes = ByteWriter(memory)
                    length &+= event.putEvent(request, to: &bytes).lowerBound &+ bytes.count
                }
                return length
            }
        )
        Table.print(
            Measurement("  answer as JSON", operations: 500_000) { count in
                var length = 0
                for _ in 0..<count {
                    let event = self.event(program, generator.next(at: time), time)
                    var bytes = ByteWriter(memory)
                    event.putAnswer(to: &bytes)
                    length &+= bytes.count &+ event.answerBytes
                }
                return length
            }
        )
    }

    @inline(__always)
    @_lifetime(immortal)
    private static func event(_ program: RenderedProgram, _ id: MessageID, _ time: Timestamp) -> AcceptedEvent {
        let none = Span<UInt8>()
        return AcceptedEvent(
            program: program,
            messageID: id,
            time: time,
            userAgent: none,
            referrer: none,
            clientAddress: none
        )
    }

    private static var program: Program {
        guard let id = ProgramID("212312") else { preconditionFailure("a benchmark's own id") }
        var program = Program(id: id)
        program.name = "Summer campaign"
        program.checksum = "0123456789abcdef"
        program.customerID = 4_711
        program.customerName = "Customer"
        program.isValid = true
        return program
    }
}
