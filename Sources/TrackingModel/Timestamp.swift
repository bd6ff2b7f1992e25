/// A moment of the wall clock, in milliseconds since the Unix epoch.
public struct Timestamp: Hashable, Comparable, Sendable {
    public var milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// The years 0001 to 9999 in UTC: what is read can be written again with four digits.
    private static let writable: ClosedRange<Int64> = -62_135_596_800_000...253_402_300_799_999

    public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }

    /// An RFC 3339 date-time (section 5.6), for example `2026-11-21T09:30:00.250+01:00`; nil for anything else.
    public init?(rfc3339 text: String) {
        var reader = Reader(bytes: Array(text.utf8))
        guard let year = reader.number(4), reader.take("-"),
            let month = reader.number(2), reader.take("-"),
            let day = reader.number(2), reader.take("T") || reader.take("t"),
            let hour = reader.number(2), reader.take(":"),
            let minute = reader.number(2), reader.take(":"),
            let second = reader.number(2),
            let fraction = reader.milliseconds(),
            let offset = reader.offsetMinutes(),
            reader.isAtEnd,
            1...12 ~= month, 1...Self.days(in: month, of: year) ~= day,
            year > 0, hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = Self.daysSinceEpoch(year: year, month: month, day: day)
        let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second
        let milliseconds = Int64(seconds) * 1000 + Int64(fraction)
        guard Self.writable.contains(milliseconds) else { return nil }
        self.milliseconds = milliseconds
    }

    /// In UTC with milliseconds, as RFC 3339 has it.
    public var rfc3339: String {
        var rest = Int(self.milliseconds.remainderFlooring(by: 86_400_000))
        let days = Int(self.milliseconds / 86_400_000) - (self.milliseconds % 86_400_000 < 0 ? 1 : 0)
        let milliseconds = rest % 1000
        rest /= 1000
        let (year, month, day) = Self.date(daysSinceEpoch: days)
        func pad(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))"
        let time = "\(pad(rest / 3600, 2)):\(pad(rest / 60 % 60, 2)):\(pad(rest % 60, 2))"
        return "\(date)T\(time)" + (milliseconds == 0 ? "Z" : ".\(pad(milliseconds, 3))Z")
    }

    private static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days of the proleptic Gregorian calendar; the year is counted from March, so that the leap day is its last.
    private static func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let monthFromMarch = (month + 9) % 12
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
        let leapDays = shifted / 4 - shifted / 100 + shifted / 400
        return shifted * 365 + leapDays + dayOfYear - 719_468
    }

    private static func date(daysSinceEpoch: Int) -> (year: Int, month: Int, day: Int) {
        // 146,097 days are 400 years, whose last day is a leap day.
        let shifted = daysSinceEpoch + 719_468
        let cycle = (shifted < 0 ? shifted - 146_096 : shifted) / 146_097
        let day400 = shifted - cycle * 146_097
        // Counting leap days out of the days so far leaves years of 365.
        let year400 = (day400 - day400 / 1_460 + day400 / 36_524 - day400 / 146_096) / 365
        let dayOfYear = day400 - (year400 * 365 + year400 / 4 - year400 / 100)
        let year = cycle * 400 + year400
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (month <= 2 ? year + 1 : year, month, day)
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        var isAtEnd: Bool { self.position == self.bytes.count }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard self.position < self.bytes.count, self.bytes[self.position] == UInt8(ascii: character) else {
                return false
            }
            self.position += 1
            return true
        }

        mutating func digit() -> Int? {
            guard self.position < self.bytes.count,
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= self.bytes[self.position]
            else { return nil }
            self.position += 1
            return Int(self.bytes[self.position - 1] - UInt8(ascii: "0"))
        }

        mutating func number(_ digits: Int) -> Int? {
            var value = 0
            for _ in 0..<digits {
                guard let digit = self.digit() else { return nil }
                value = value * 10 + digit
            }
            return value
        }

        /// An absent fraction is 0; digits after the third are below our resolution.
        mutating func milliseconds() -> Int? {
            guard self.take(".") else { return 0 }
            guard let first = self.digit() else { return nil }
            var value = first
            var digits = 1
            while let digit = self.digit() {
                if digits < 3 { value = value * 10 + digit }
                digits += 1
            }
            while digits < 3 {
                value *= 10
                digits += 1
            }
            return value
        }

        mutating func offsetMinutes() -> Int? {
            if self.take("Z") || self.take("z") { return 0 }
            let sign = self.take("+") ? 1 : self.take("-") ? -1 : 0
            guard sign != 0, let hours = self.number(2), self.take(":"), let minutes = self.number(2),
                hours < 24, minutes < 60
            else { return nil }
            return sign * (hours * 60 + minutes)
        }
    }
}

extension Int64 {
    fileprivate func remainderFlooring(by divisor: Int64) -> Int64 {
        let remainder = self % divisor
        return remainder < 0 ? remainder + divisor : remainder
    }
}
