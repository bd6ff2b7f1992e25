import ArgumentParser

/// A length of time as it is written in a setting: `250ms`, `2s`, `10m`, `24h`; a bare `0` is understood too.
struct TimeSpan: Equatable, Sendable {
    /// 366 days: whatever is longer is a slip of the pen, and no sum of two such times overflows.
    static let longest = Duration.seconds(366 * 24 * 3_600)

    let duration: Duration

    init(_ duration: Duration) {
        self.duration = duration
    }

    /// Nil unless `text` is a whole or decimal number that is directly followed by one of the units.
    init?(_ text: some StringProtocol) {
        let units: [(String, Int64)] = [
            ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
        ]
        if text == "0" {
            self.init(.zero)
            return
        }
        guard let (number, unit) = Quantity.split(text, units: units), let scaled = number.times(unit),
            Duration.nanoseconds(scaled) <= Self.longest
        else { return nil }
        self.init(.nanoseconds(scaled))
    }
}

/// A number of bytes as it is written in a setting: `64KiB`, `1GiB`, `5MB`, `512B` or `4096`.
struct ByteCount: Equatable, Sendable {
    let bytes: Int

    init(_ bytes: Int) {
        self.bytes = bytes
    }

    /// Nil unless `text` is a number with no unit or directly followed by one; KiB counts 1,024 bytes, kB 1,000.
    init?(_ text: some StringProtocol) {
        let units: [(String, Int64)] = [
            ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
            ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
            ("B", 1), ("", 1),
        ]
        guard let (number, unit) = Quantity.split(text, units: units), let scaled = number.times(unit) else {
            return nil
        }
        self.init(Int(scaled))
    }
}

/// A part of a whole: `5%`, `0.5%` or `0.05`; from nothing to everything.
struct Share: Equatable, Sendable {
    /// 0 to 1.
    let fraction: Double

    init?(_ text: some StringProtocol) {
        guard let (number, unit) = Quantity.split(text, units: [("%", 1), ("", 100)]) else { return nil }
        let fraction = number.value * Double(unit) / 100
        guard fraction <= 1 else { return nil }
        self.fraction = fraction
    }
}

extension TimeSpan: ExpressibleByArgument {
    init?(argument: String) {
        self.init(argument)
    }

    /// The largest unit that writes it as a whole number.
    var defaultValueDescription: String {
        let units: [(String, Duration)] = [
            ("h", .seconds(3_600)), ("m", .seconds(60)), ("s", .seconds(1)), ("ms", .milliseconds(1)),
        ]
        for (name, unit) in units {
            let count = duration / unit
            if count >= 1, count == count.rounded() { return "\(Int(count))\(name)" }
        }
        return duration == .zero ? "0s" : "\(Int(duration / .microseconds(1)))us"
    }
}

extension ByteCount: ExpressibleByArgument {
    init?(argument: String) {
        self.init(argument)
    }

    /// The largest unit that writes it as a whole number.
    var defaultValueDescription: String {
        for (name, unit) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        where bytes >= unit && bytes % unit == 0 {
            return "\(bytes / unit)\(name)"
        }
        return "\(bytes)B"
    }
}

extension Share: ExpressibleByArgument {
    init?(argument: String) {
        self.init(argument)
    }
}

/// A number of a setting before its unit is applied: never negative, at most three decimals.
private struct Quantity {
    let thousandths: Int64

    var value: Double { Double(thousandths) / 1_000 }

    /// Nil on overflow, and when a fraction of the smallest part would be left over.
    func times(_ unit: Int64) -> Int64? {
        let (product, overflow) = thousandths.multipliedReportingOverflow(by: unit)
        return overflow || product % 1_000 != 0 ? nil : product / 1_000
    }

    /// The first unit that fits and leaves a number before it.
    static func split(_ text: some StringProtocol, units: [(String, Int64)]) -> (Quantity, Int64)? {
        for (name, factor) in units where text.hasSuffix(name) {
            if let quantity = Quantity(text.dropLast(name.count)) { return (quantity, factor) }
        }
        return nil
    }

    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }),
            let first = parts.first, let whole = Int64(first)
        else { return nil }
        let decimals = parts.count == 2 ? String(parts[1]) : ""
        guard decimals.count <= 3, let fraction = Int64((decimals + "000").prefix(3)) else { return nil }
        let (scaled, tooLarge) = whole.multipliedReportingOverflow(by: 1_000)
        let (sum, overflow) = scaled.addingReportingOverflow(fraction)
        guard !tooLarge, !overflow else { return nil }
        thousandths = sum
    }
}
