/// What each program says to each request: the contract, row by row.
enum JudgementTable {
    static let rules = """
        "valid": true, "parameters": {"types": ["click","conversion"], "allowed": ["campaign","orderId","amount","currency"], \
        "required": ["campaign"], "together": [["orderId","amount","currency"]], "values": {"currency": ["EUR","USD"]}}
        """
    static let window = """
        "valid": true, "validFrom": "2026-11-21T09:30:00.250Z", "validUntil": "2026-11-21T09:30:00.500Z"
        """

    static let existence = [
        Judging("accepted", #""valid": true"#, ""),
        Judging("accepted", #""valid": "true""#, ""),
        Judging("accepted", #""valid": 1"#, ""),
        Judging("accepted", #""valid": "1""#, ""),
        Judging("program_inactive", "", ""),
        Judging("program_inactive", #""valid": false"#, ""),
        Judging("program_inactive", #""valid": "false""#, ""),
        Judging("program_inactive", #""valid": 0"#, ""),
        Judging("program_inactive", #""valid": "0""#, ""),
        Judging("program_inactive", #""valid": null"#, ""),
    ]

    static let times = [
        Judging("program_not_started", window, "", at: Judging.noon),
        Judging("program_not_started", window, "", at: Judging.noon + 249),
        Judging("accepted", window, "", at: Judging.noon + 250),
        Judging("accepted", window, "", at: Judging.noon + 251),
        Judging("accepted", window, "", at: Judging.noon + 499),
        Judging("accepted", window, "", at: Judging.noon + 500),
        Judging("program_expired", window, "", at: Judging.noon + 501),
        Judging("program_expired", window, "", at: .max),
        Judging("program_not_started", window, "", at: .min),
        Judging("accepted", #""valid": true, "validFrom": "2026-11-21T10:30:00+01:00""#, ""),
        Judging("program_not_started", #""valid": true, "validFrom": "2026-11-21T09:30:00-01:00""#, ""),
        Judging("accepted", #""valid": true, "validUntil": "2026-11-21T09:30:00Z""#, ""),
        Judging("program_expired", #""valid": true, "validUntil": "2026-11-21T09:29:59.999Z""#, ""),
        Judging("accepted", #""valid": true, "validFrom": "1960-01-01T00:00:00Z""#, "", at: -1),
        // An interval that is empty: the first that applies is told.
        Judging(
            "program_not_started",
            #""valid": true, "validFrom": "2027-01-01T00:00:00Z", "validUntil": "2020-01-01T00:00:00Z""#,
            ""
        ),
    ]

    static let checksums = [
        Judging("accepted", #""valid": true, "checksum": "abc""#, ""),
        Judging("accepted", #""valid": true, "checksum": "abc""#, "checksum=abc"),
        Judging("checksum_mismatch", #""valid": true, "checksum": "abc""#, "checksum=abd"),
        Judging("checksum_mismatch", #""valid": true, "checksum": "abc""#, "checksum=ABC"),
        Judging("checksum_mismatch", #""valid": true, "checksum": "abc""#, "checksum=ab"),
        Judging("checksum_mismatch", #""valid": true, "checksum": "abc""#, "checksum=abcd"),
        Judging("checksum_mismatch", #""valid": true, "checksum": "abc""#, "checksum="),
        Judging("checksum_mismatch", #""valid": true, "checksum": "abc""#, "checksum"),
        Judging("checksum_mismatch", #""valid": true"#, "checksum=abc"),
        Judging("accepted", #""valid": true"#, "checksum="),
        Judging("checksum_missing", #""valid": true, "checksum": "abc", "requireChecksum": true"#, ""),
        Judging("checksum_missing", #""valid": true, "checksum": "abc", "requireChecksum": "1""#, "a=b"),
        Judging("checksum_missing", #""valid": true, "checksum": "abc", "requireChecksum": true"#, "Checksum=abc"),
        Judging("checksum_mismatch", #""valid": true, "checksum": "abc", "requireChecksum": true"#, "checksum=x"),
        Judging("accepted", #""valid": true, "checksum": "abc", "requireChecksum": true"#, "checksum=abc"),
        Judging("accepted", #""valid": true, "checksum": "a b", "requireChecksum": true"#, "checksum=a%20b"),
        Judging("checksum_mismatch", #""valid": true, "checksum": "a b", "requireChecksum": true"#, "checksum=a+b"),
    ]

    static let kinds = [
        Judging("accepted", rules, "campaign=spring"),
        Judging("accepted", rules, "campaign="),
        Judging("accepted", rules, "campaign"),
        Judging("accepted", rules, "type=conversion&campaign=a&orderId=1&amount=2&currency=EUR"),
        Judging("missing_parameter", rules, ""),
        Judging("missing_parameter", rules, "orderId=1&amount=2&currency=EUR"),
        Judging("missing_parameter", rules, "Campaign=a"),
        Judging("unknown_parameter", rules, "campaign=a&other=1"),
        Judging("unknown_parameter", rules, "campaign=a&Campaign=a"),
        Judging("incomplete_combination", rules, "campaign=a&orderId=1"),
        Judging("incomplete_combination", rules, "campaign=a&orderId=1&amount=2"),
        Judging("incomplete_combination", rules, "campaign=a&currency=EUR"),
        Judging("value_not_allowed", rules, "campaign=a&orderId=1&amount=2&currency=GBP"),
        Judging("value_not_allowed", rules, "campaign=a&orderId=1&amount=2&currency=eur"),
        Judging("value_not_allowed", rules, "campaign=a&orderId=1&amount=2&currency="),
        Judging("type_not_allowed", rules, "campaign=a&type=impression"),
        Judging("type_not_allowed", rules, "campaign=a&type=view"),
        Judging("type_not_allowed", rules, "campaign=a&type="),
        Judging("accepted", rules, "campaign=a&type=click"),
        Judging("accepted", rules, "campaign=a&checksum="),
        Judging("accepted", #""valid": true, "parameters": {}"#, "anything=goes&type=impression"),
        Judging("unknown_parameter", #""valid": true, "parameters": {"allowed": []}"#, "a=1"),
        Judging("accepted", #""valid": true, "parameters": {"allowed": []}"#, "type=click&checksum="),
        Judging("type_not_allowed", #""valid": true, "parameters": {"types": []}"#, ""),
        Judging("type_not_allowed", #""valid": true, "parameters": {"types": ["conversion"]}"#, ""),
        Judging("accepted", #""valid": true, "parameters": {"types": ["conversion"]}"#, "type=conversion"),
        Judging("type_not_allowed", #""valid": true"#, "type=view"),
        Judging("type_not_allowed", #""valid": true"#, "type=Click"),
        Judging("type_not_allowed", #""valid": true"#, "type"),
        Judging("accepted", #""valid": true"#, "type=impression"),
        Judging("value_not_allowed", #""valid": true, "parameters": {"values": {"a": []}}"#, "a=1"),
        Judging("accepted", #""valid": true, "parameters": {"values": {"a": []}}"#, "b=1"),
        Judging(
            "accepted",
            #""valid": true, "parameters": {"values": {"a": ["ä€😀"]}}"#,
            "a=%C3%A4%E2%82%AC%F0%9F%98%80"
        ),
        Judging("accepted", #""valid": true, "parameters": {"together": [["a","b"],["c","d"]]}"#, "c=1&d=2"),
        Judging(
            "incomplete_combination",
            #""valid": true, "parameters": {"together": [["a","b"],["b","c"]]}"#,
            "a=1&b=2"
        ),
        Judging("missing_parameter", #""valid": true, "parameters": {"required": ["type"]}"#, ""),
        Judging("accepted", #""valid": true, "parameters": {"required": ["type"]}"#, "type=click"),
    ]

    static let order = [
        Judging("bad_request", #""valid": false"#, "a=%"),
        Judging("program_inactive", #""validFrom": "2030-01-01T00:00:00Z""#, "checksum=no"),
        Judging("program_not_started", #""valid": true, "validFrom": "2030-01-01T00:00:00Z""#, "checksum=no"),
        Judging(
            "program_expired",
            #""valid": true, "validUntil": "2020-01-01T00:00:00Z", "requireChecksum": true"#,
            ""
        ),
        Judging("checksum_mismatch", rules, "checksum=no"),
        Judging("missing_parameter", rules, "other=1&orderId=1&currency=GBP&type=view"),
        Judging("unknown_parameter", rules, "campaign=a&other=1&orderId=1&currency=GBP&type=view"),
        Judging("incomplete_combination", rules, "campaign=a&orderId=1&currency=GBP&type=view"),
        Judging("value_not_allowed", rules, "campaign=a&orderId=1&amount=1&currency=GBP&type=view"),
    ]

    static let all = existence + times + checksums + kinds + order
}
