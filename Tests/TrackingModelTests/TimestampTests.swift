import Testing

@testable import TrackingModel

@Suite("Moments as text")
struct TimestampTests {
    @Test(
        "RFC 3339 is read to the millisecond",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1970-01-01T00:00:00.001Z", 1), ("1969-12-31T23:59:59.999Z", -1),
            ("2026-11-21T09:30:00Z", 1_795_253_400_000), ("2026-11-21t09:30:00z", 1_795_253_400_000),
            ("2026-11-21T10:30:00+01:00", 1_795_253_400_000), ("2026-11-21T04:00:00-05:30", 1_795_253_400_000),
            ("2026-11-21T09:30:00-00:00", 1_795_253_400_000), ("2026-11-22T09:29:00+23:59", 1_795_253_400_000),
            ("2026-11-21T09:30:00.5Z", 1_795_253_400_500), ("2026-11-21T09:30:00.05Z", 1_795_253_400_050),
            ("2026-11-21T09:30:00.1239999999999999999999Z", 1_795_253_400_123),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000), ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000), ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] as [(String, Int64)]
    )
    func reads(text: String, milliseconds: Int64) {
        #expect(Timestamp(rfc3339: text)?.milliseconds == milliseconds)
    }

    @Test(
        "what is no date-time is nil",
        arguments: [
            "", "now", "2026-11-21", "09:30:00Z", "2026-11-21T09:30:00", "2026-11-21 09:30:00Z", "2026-11-21T09:30Z",
            "2026-11-21T09:30:00.Z", "2026-11-21T09:30:00,5Z", "2026-11-21T24:00:00Z", "2026-11-21T09:60:00Z",
            "2026-11-21T09:30:61Z", "2026-00-21T09:30:00Z", "2026-13-21T09:30:00Z", "2026-11-00T09:30:00Z",
            "2026-11-31T09:30:00Z", "2026-02-29T09:30:00Z", "1900-02-29T09:30:00Z", "2026-11-21T09:30:00+24:00",
            "2026-11-21T09:30:00+01:60", "2026-11-21T09:30:00+0100", "2026-11-21T09:30:00+01", "2026-11-21T09:30:00 Z",
            " 2026-11-21T09:30:00Z", "2026-11-21T09:30:00Z ", "2026-11-21T09:30:00ZZ", "26-11-21T09:30:00Z",
            "12026-11-21T09:30:00Z", "-2026-11-21T09:30:00Z", "2026-1-21T09:30:00Z", "2026-11-21T9:30:00Z",
            "٢026-11-21T09:30:00Z", "2026-11-21T09:30:00\u{0}Z", "1795253400000",
            // Outside the years that four digits can name.
            "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        ]
    )
    func refuses(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test("what is written is read back as the same moment")
    func roundTrip() {
        var random = SeededBits(state: 3)
        for _ in 0..<20_000 {
            let time = Timestamp(
                milliseconds: Int64.random(in: -62_135_596_800_000...253_402_300_799_999, using: &random)
            )
            #expect(Timestamp(rfc3339: time.rfc3339) == time)
        }
    }

    @Test("each day from 1800 to 2400 follows the day before")
    func calendar() throws {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        func pad(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        var expected = try #require(Timestamp(rfc3339: "1800-01-01T00:00:00Z")).milliseconds
        #expect(expected == -5_364_662_400_000)
        for year in 1800...2400 {
            let isLeap = year % 400 == 0 || year % 4 == 0 && year % 100 != 0
            for month in 1...12 {
                for day in 1...(lengths[month - 1] + (isLeap && month == 2 ? 1 : 0)) {
                    let text = "\(year)-\(pad(month))-\(pad(day))T00:00:00Z"
                    let time = Timestamp(milliseconds: expected)
                    guard Timestamp(rfc3339: text) == time, time.rfc3339 == text else {
                        Issue.record("\(text) is \(time.rfc3339)")
                        return
                    }
                    expected += 86_400_000
                }
            }
        }
    }
}
