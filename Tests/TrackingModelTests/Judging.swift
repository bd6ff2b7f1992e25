import Testing

@testable import TrackingModel

/// One row of the table: a program, a query, a moment, and what outsiders are told.
struct Judging: Sendable, CustomTestStringConvertible {
    /// 2026-11-21T09:30:00Z.
    static let noon: Int64 = 1_795_253_400_000

    let expected: String
    let program: String
    let query: String
    let time: Int64

    /// - Parameters:
    ///   - expected: the code of the refusal, or `accepted`.
    ///   - program: members of the program's JSON object besides `programId`.
    init(_ expected: String, _ program: String, _ query: String, at time: Int64 = Judging.noon) {
        self.expected = expected
        self.program = program
        self.query = query
        self.time = time
    }

    var testDescription: String {
        let query = self.query.count > 80 ? "\(self.query.prefix(40))… (\(self.query.count))" : self.query
        return "?\(query) of {\(self.program)} at \(self.time) is \(self.expected)"
    }

    func verdict() throws -> String {
        let members = self.program.isEmpty ? "" : ", \(self.program)"
        let program = try Program(json: Array("{\"programId\": \"p\"\(members)}".utf8))
        var request = TrackingRequest()
        // What was read before must not shine through.
        _ = request.read(query: Array("type=none&checksum=old&campaign=old&old=1".utf8).span)
        guard request.read(query: Array(self.query.utf8).span) else { return Refusal.badRequest.code }
        let time = Timestamp(milliseconds: self.time)
        return judge(RenderedProgram(program), request, at: time)?.code ?? "accepted"
    }
}
