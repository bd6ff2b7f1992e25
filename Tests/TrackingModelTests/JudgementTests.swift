import Testing

@testable import TrackingModel

@Suite("The judgement")
struct JudgementTests {
    @Test("a program serves only when somebody said so", arguments: JudgementTable.existence)
    func existence(row: Judging) throws { #expect(try row.verdict() == row.expected) }

    @Test("validFrom and validUntil count to the millisecond, both included", arguments: JudgementTable.times)
    func times(row: Judging) throws { #expect(try row.verdict() == row.expected) }

    @Test(
        "a checksum has to be the program's, and is missed only where it is required",
        arguments: JudgementTable.checksums
    )
    func checksums(row: Judging) throws { #expect(try row.verdict() == row.expected) }

    @Test("each rule has its own refusal", arguments: JudgementTable.kinds)
    func kinds(row: Judging) throws { #expect(try row.verdict() == row.expected) }

    @Test("the first refusal of the contract's order is the answer", arguments: JudgementTable.order)
    func order(row: Judging) throws { #expect(try row.verdict() == row.expected) }

    @Test("every refusal that a judgement can give stands in the tables")
    func tablesAreComplete() {
        let rows = JudgementTable.all
        #expect(rows.count >= 80)
        let codes = Set(rows.map(\.expected))
        let judged = Refusal.allCases.filter { $0.kind == .rejected && $0 != .programNotFound }
        for refusal in judged { #expect(codes.contains(refusal.code)) }
    }

    @Test(
        "status and code are the contract's",
        arguments: [
            (Refusal.badRequest, 400, "bad_request"), (.programNotFound, 404, "program_not_found"),
            (.programInactive, 410, "program_inactive"), (.programNotStarted, 410, "program_not_started"),
            (.programExpired, 410, "program_expired"), (.checksumMissing, 403, "checksum_missing"),
            (.checksumMismatch, 403, "checksum_mismatch"), (.missingParameter, 422, "missing_parameter"),
            (.unknownParameter, 422, "unknown_parameter"), (.incompleteCombination, 422, "incomplete_combination"),
            (.valueNotAllowed, 422, "value_not_allowed"), (.typeNotAllowed, 422, "type_not_allowed"),
            (.unavailable, 503, "unavailable"), (.journalFull, 503, "journal_full"), (.overloaded, 503, "overloaded"),
        ]
    )
    func codes(refusal: Refusal, status: Int, code: String) {
        #expect(refusal.status == status)
        #expect(refusal.code == code)
    }
}
