import Glibc

/// Times one thing in several rounds: the minimum is the thing itself, the median what the machine makes of it.
struct Measurement {
    let name: String
    /// Nanoseconds of one operation, one value for each round, in ascending order.
    let rounds: [Double]

    var minimum: Double { self.rounds.first ?? 0 }
    var median: Double { self.rounds.isEmpty ? 0 : self.rounds[self.rounds.count / 2] }

    /// - Parameter body: does the operation as often as it is told, and returns something that depends on each.
    init(_ name: String, operations: Int, rounds: Int = 15, _ body: (Int) -> Int) {
        self.name = name
        keep(body(operations))
        self.rounds = (0..<rounds).map { _ in
            let start = Self.nanoseconds()
            keep(body(operations))
            return Double(Self.nanoseconds() - start) / Double(operations)
        }.sorted()
    }

    private static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}

/// Makes the compiler believe that a result is needed.
@inline(never)
func keep(_ value: Int) {
    withExtendedLifetime(value) {}
}

/// Prints lines as soon as they are known, in columns.
struct Table {
    static func printHead() {
        print("\(self.pad("", 46))\(self.padLeft("min ns", 10))\(self.padLeft("median ns", 11))")
    }

    /// - Parameter reference: what the ratio, of the minima, is to.
    static func print(_ measurement: Measurement, to reference: Measurement? = nil) {
        var line = self.pad(measurement.name, 46)
        line += self.padLeft(self.text(measurement.minimum), 10) + self.padLeft(self.text(measurement.median), 11)
        if let reference {
            line += "   " + self.text(measurement.minimum / reference.minimum, decimals: 2) + " × \(reference.name)"
        }
        print(line)
    }

    static func print(_ line: String) { Swift.print(line) }

    static func text(_ number: Double, decimals: Int = 1) -> String {
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int((number * scale).rounded())
        let fraction = String(scaled % Int(scale))
        return "\(scaled / Int(scale))." + String(repeating: "0", count: decimals - fraction.count) + fraction
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func padLeft(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
