import Testing

@testable import TrackingModel

@Suite("A program in core data")
struct ProgramTests {
    private func program(_ json: String) throws -> Program { try Program(json: Array(json.utf8)) }

    private func fault(_ json: String) -> MalformedProgram? {
        do {
            _ = try self.program(json)
            return nil
        } catch {
            return error as? MalformedProgram
        }
    }

    private func hashed(_ fields: (String, String)...) throws -> Program {
        try Program(id: self.id(), hash: fields.map { (name: $0.0, value: $0.1) })
    }

    private func id(_ text: String = "p") throws -> ProgramID { try #require(ProgramID(text)) }

    private func everything() throws -> Program {
        var program = Program(id: try self.id("full-1_A"))
        program.name = "Sommer \"24\" \\ ä€😀\u{7f}\n\t"
        program.checksum = "\"quoted\""
        program.customerID = .min
        program.customerName = "Ω"
        program.isValid = true
        program.version = .max
        program.validFrom = Timestamp(milliseconds: -1)
        program.validUntil = Timestamp(milliseconds: Judging.noon + 7)
        program.requiresChecksum = true
        program.parameters = ParameterRules(
            types: [.click, .conversion],
            allowed: ["a", "ä\"\\"],
            required: ["a"],
            together: [["a", "b"], []],
            values: ["a": ["1", ""], "b\n": []]
        )
        return program
    }

    @Test("every member of the JSON object is read")
    func members() throws {
        let program = try self.program(
            """
            {"programId":"p-1_A","programName":"N","checksum":"c","customerId":7,"customerName":"C","valid":true,"version":8,
             "validFrom":"2026-11-21T09:30:00Z","validUntil":"2026-11-21T10:30:00.5+01:00","requireChecksum":true,
             "parameters":{"types":["click"],"allowed":["a"],"required":["b"],"together":[["a","b"]],"values":{"a":["1"]}},
             "somebodyElses":{"field":[1,2,3]}}
            """
        )
        #expect(program.id.text == "p-1_A")
        #expect(program.name == "N" && program.checksum == "c" && program.customerName == "C")
        #expect(program.customerID == 7 && program.isValid && program.version == 8 && program.requiresChecksum)
        #expect(program.validFrom?.milliseconds == Judging.noon)
        #expect(program.validUntil?.milliseconds == Judging.noon + 500)
        let rules = try #require(program.parameters)
        #expect(rules.types == [.click] && rules.allowed == ["a"] && rules.required == ["b"])
        #expect(rules.together == [["a", "b"]] && rules.values == ["a": ["1"]])
    }

    @Test("what is absent or null is empty, 0 and false")
    func absent() throws {
        let null = """
            {"programId":"p","programName":null,"checksum":null,"customerId":null,"customerName":null,"valid":null,
             "version":null,"validFrom":null,"validUntil":null,"requireChecksum":null,"parameters":null}
            """
        #expect(try self.program(#"{"programId":"p"}"#) == Program(id: try self.id()))
        #expect(try self.program(null) == Program(id: try self.id()))
        #expect(try self.hashed(("programName", "")) == Program(id: try self.id()))
    }

    @Test(
        "the customer's id is a number or its text",
        arguments: [
            ("0", 0), ("7", 7), (#""7""#, 7), ("-7", -7), (#""-7""#, -7), ("2147483647", .max), ("-2147483648", .min),
            (#""2147483647""#, .max),
        ] as [(String, Int32)]
    )
    func customerID(json: String, id: Int32) throws {
        #expect(try self.program("{\"programId\":\"p\",\"customerId\":\(json)}").customerID == id)
        #expect(try self.hashed(("customerId", json)).customerID == id)
    }

    @Test(
        "true, 1, false and 0 are understood, also as text",
        arguments: [
            ("true", true), ("1", true), (#""true""#, true), (#""1""#, true), ("false", false), ("0", false),
            (#""false""#, false), (#""0""#, false),
        ]
    )
    func booleans(json: String, value: Bool) throws {
        #expect(try self.program("{\"programId\":\"p\",\"valid\":\(json)}").isValid == value)
        #expect(try self.program("{\"programId\":\"p\",\"requireChecksum\":\(json)}").requiresChecksum == value)
        #expect(try self.hashed(("valid", json)).isValid == value)
        #expect(try self.hashed(("requireChecksum", json)).requiresChecksum == value)
    }

    @Test(
        "one pair of quotation marks around a whole hash value is removed",
        arguments: [
            (#""N""#, "N"), (#"""N"""#, #""N""#), (#""N"#, #""N"#), (#"N""#, #"N""#), (#""""#, ""), (#"""#, #"""#),
            (#"N"M"N"#, #"N"M"N"#), ("N", "N"),
        ]
    )
    func quotes(value: String, name: String) throws {
        #expect(try self.hashed(("programName", value)).name == name)
        #expect(try self.hashed(("customerName", value)).customerName == name)
        #expect(try self.hashed(("checksum", value)).checksum == name)
    }

    @Test("all that the older updater wrote in quotation marks is read")
    func quotedHash() throws {
        let program = try self.hashed(
            ("programId", #""p""#),
            ("programName", #""N""#),
            ("customerId", #""7""#),
            ("valid", #""true""#),
            ("version", #""3""#),
            ("validFrom", #""2026-11-21T09:30:00Z""#),
            ("parameters", #""{"allowed":["a"]}""#),
            ("unknown", "field")
        )
        #expect(program.name == "N" && program.customerID == 7 && program.isValid && program.version == 3)
        #expect(program.validFrom?.milliseconds == Judging.noon)
        #expect(program.parameters?.allowed == ["a"])
    }

    @Test("the key says whose hash it is, not its field")
    func keyWins() throws {
        #expect(try self.hashed(("programId", "another"), ("valid", "1")).id.text == "p")
    }

    @Test(
        "a malformed program says where its fault is",
        arguments: [
            ("", ""), ("{", ""), ("[]", ""), ("7", ""), (#"{"programId":"p"} x"#, ""), ("{}", "programId"),
            (#"{"programId":""}"#, "programId"), (#"{"programId":"a b"}"#, "programId"),
            (#"{"programId":"ä"}"#, "programId"), (#"{"programId":7}"#, "programId"),
            (#"{"programId":"p","programName":7}"#, "programName"),
            (#"{"programId":"p","checksum":[]}"#, "checksum"),
            (#"{"programId":"p","customerName":{}}"#, "customerName"),
            (#"{"programId":"p","customerId":"x"}"#, "customerId"),
            (#"{"programId":"p","customerId":""}"#, "customerId"),
            (#"{"programId":"p","customerId":1.5}"#, "customerId"),
            (#"{"programId":"p","customerId":true}"#, "customerId"),
            (#"{"programId":"p","customerId":2147483648}"#, "customerId"),
            (#"{"programId":"p","customerId":-2147483649}"#, "customerId"),
            (#"{"programId":"p","customerId":99999999999999999999}"#, "customerId"),
            (#"{"programId":"p","customerId":"99999999999999999999"}"#, "customerId"),
            (#"{"programId":"p","valid":"yes"}"#, "valid"), (#"{"programId":"p","valid":2}"#, "valid"),
            (#"{"programId":"p","valid":[]}"#, "valid"), (#"{"programId":"p","valid":"TRUE"}"#, "valid"),
            (#"{"programId":"p","requireChecksum":"no"}"#, "requireChecksum"),
            (#"{"programId":"p","version":-1}"#, "version"), (#"{"programId":"p","version":"x"}"#, "version"),
            (#"{"programId":"p","version":9223372036854775808}"#, "version"),
            (#"{"programId":"p","validFrom":"tomorrow"}"#, "validFrom"),
            (#"{"programId":"p","validFrom":7}"#, "validFrom"),
            (#"{"programId":"p","validUntil":"2026-02-30T00:00:00Z"}"#, "validUntil"),
            (#"{"programId":"p","parameters":[]}"#, "parameters"),
            (#"{"programId":"p","parameters":"{}"}"#, "parameters"),
            (#"{"programId":"p","parameters":{"types":["view"]}}"#, "parameters.types"),
            (#"{"programId":"p","parameters":{"types":"click"}}"#, "parameters.types"),
            (#"{"programId":"p","parameters":{"forbidden":[]}}"#, "parameters.forbidden"),
            (#"{"programId":"p","parameters":{"required":"a"}}"#, "parameters.required"),
            (#"{"programId":"p","parameters":{"together":["a"]}}"#, "parameters.together"),
            (#"{"programId":"p","parameters":{"values":{"a":"1"}}}"#, "parameters.values.a"),
        ]
    )
    func faults(json: String, place: String) throws {
        let fault = try #require(self.fault(json))
        #expect(fault.field == place || fault.field.hasPrefix(place + "."))
        #expect(!fault.reason.isEmpty)
    }

    @Test(
        "a hash that cannot be read says which field it is",
        arguments: [
            ("customerId", "x", "customerId"), ("customerId", "", "customerId"),
            ("customerId", "2147483648", "customerId"),
            ("customerId", " 7", "customerId"), ("valid", "yes", "valid"), ("valid", "", "valid"),
            ("version", "1.5", "version"),
            ("version", "-1", "version"), ("validFrom", "", "validFrom"), ("validUntil", "never", "validUntil"),
            ("requireChecksum", "2", "requireChecksum"), ("parameters", "", "parameters"),
            ("parameters", "{", "parameters"),
            ("parameters", "[]", "parameters"), ("parameters", #"{"types":["x"]}"#, "parameters.types"),
            ("parameters", #"{"x":1}"#, "parameters.x"),
        ]
    )
    func hashFaults(name: String, value: String, place: String) {
        #expect(throws: MalformedProgram.self) { try self.hashed((name, value)) }
        do { _ = try self.hashed((name, value)) } catch { #expect((error as? MalformedProgram)?.field == place) }
    }

    @Test("no text, however broken, does worse than a fault")
    func mutations() throws {
        var random = SeededBits(state: 7)
        let whole = try self.everything().json
        for _ in 0..<3_000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
                }
            }
            // What is read can be written and read again.
            if let program = try? Program(json: bytes) { #expect(try Program(json: program.json) == program) }
        }
    }

    @Test("JSON and hash bring a program back as it was")
    func roundTrips() throws {
        for program in [try self.everything(), Program(id: try self.id())] {
            #expect(try Program(json: program.json) == program)
            #expect(try Program(id: program.id, hash: Self.withoutQuotes(program).hash) == Self.withoutQuotes(program))
        }
    }

    /// A text that stands in quotation marks by itself loses them in a hash, as the contract has it.
    private static func withoutQuotes(_ program: Program) -> Program {
        var program = program
        program.checksum = "plain"
        return program
    }

    @Test("the JSON has the contract's names and one line")
    func text() throws {
        var program = Program(id: try self.id())
        program.name = "N"
        program.version = 3
        let expected =
            #"{"programId":"p","programName":"N","checksum":"","customerId":0,"customerName":"","valid":false,"version":3}"#
        #expect(String(decoding: program.json, as: UTF8.self) == expected)
        #expect(!(try self.everything().json.contains(UInt8(ascii: "\n"))))
    }
}

/// splitmix64, so that a failure can be seen again.
struct SeededBits: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var bits = self.state
        bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
        return bits ^ (bits >> 31)
    }
}
