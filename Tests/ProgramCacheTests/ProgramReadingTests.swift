import NIOCore
import RedisClient
import Testing
import TrackingModel

@testable import ProgramCache

@Suite("What Redis says about a program")
struct ProgramReadingTests {
    private func bulk(_ text: String) -> RESPValue { .bulk(ByteBuffer(string: text)) }

    private func read(_ value: RESPValue) throws -> String {
        self.describe(ProgramReading(.success(value), of: try programID("p")))
    }

    private func describe(_ reading: ProgramReading) -> String {
        switch reading {
        case .program(let program): "\(program.name) \(program.version ?? -1)"
        case .absent: "absent"
        case .malformed(let fault): "malformed \(fault.field)"
        case .unreachable: "unreachable"
        }
    }

    @Test("a hash is a program")
    func hash() throws {
        let fields = ["programName", "N", "version", "7", "customerId", "1"].map(self.bulk)
        #expect(try self.read(.array(RESPArray(fields))) == "N 7")
    }

    @Test("an empty reply says that there is none, authoritatively")
    func empty() throws {
        #expect(try self.read(.array([])) == "absent")
    }

    @Test(
        "an error of Redis' own state is no word about the program",
        arguments: ["LOADING Redis is loading", "MASTERDOWN Link", "NOAUTH Authentication required.", "ERR x", ""]
    )
    func errors(text: String) throws {
        #expect(try self.read(.error(text)) == "unreachable")
    }

    @Test("a key of another type is a malformed program")
    func wrongType() throws {
        #expect(try self.read(.error("WRONGTYPE Operation against a key")) == "malformed ")
    }

    @Test("what is no list of pairs is a malformed program")
    func shapes() throws {
        for value in [.integer(1), .null, self.bulk("x"), .status(ByteBuffer(string: "OK"))] as [RESPValue] {
            #expect(try self.read(value) == "malformed ")
        }
        for elements in [[self.bulk("a")], [self.bulk("a"), .integer(1)], [.array([]), self.bulk("a")]] {
            #expect(try self.read(.array(RESPArray(elements))) == "malformed ")
        }
    }

    @Test("a field that can't be read is named")
    func faults() throws {
        #expect(try self.read(.array(RESPArray(["customerId", "x"].map(self.bulk)))) == "malformed customerId")
        #expect(try self.read(.array(RESPArray(["parameters", "{"].map(self.bulk)))) == "malformed parameters")
    }

    @Test("bytes that are no text do no harm")
    func bytes() throws {
        let name = RESPValue.bulk(ByteBuffer(bytes: [0xff, 0x00, 0xc3]))
        #expect(try self.read(.array([self.bulk("programName"), name])) == "\u{fffd}\u{0}\u{fffd} -1")
    }

    @Test("no reply is no word about the program")
    func failures() throws {
        let id = try programID("p")
        for code in [RedisError.Code.disconnected, .timeout, .overloaded, .violation, .refused, .stopped] {
            let reading = ProgramReading(.failure(RedisError(code, "A sentence.")), of: id)
            #expect(self.describe(reading) == "unreachable")
        }
    }
}
