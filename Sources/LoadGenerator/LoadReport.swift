/// The figures of a run in words and as JSON.
extension LoadResult {
    /// One object on one line; numbers only, so that nothing needs escaping but the fixed names.
    public var json: String {
        let statuses = status.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }
        let kinds = LoadFailure.allCases.map { "\"\($0.rawValue)\":\(failures[$0] ?? 0)" }
        let fields: [(String, String)] = [
            ("profile", "\"\(profile.rawValue)\""), ("targetRate", plain(targetRate, 1)),
            ("connections", "\(connections)"), ("planned", "\(planned)"), ("sent", "\(sent)"),
            ("answered", "\(answered)"), ("accepted", "\(accepted)"),
            ("status", "{\(statuses.joined(separator: ","))}"), ("errors", "\(errors)"),
            ("failures", "{\(kinds.joined(separator: ","))}"), ("seconds", plain(seconds, 3)), ("rate", plain(rate, 1)),
            ("p50Ms", plain(p50Ms, 3)), ("p90Ms", plain(p90Ms, 3)), ("p99Ms", plain(p99Ms, 3)),
            ("p999Ms", plain(p999Ms, 3)), ("maxMs", plain(maxMs, 3)), ("late", "\(late)"), ("waited", "\(waited)"),
            ("generatorWasLate", "\(generatorWasLate)"), ("reconnects", "\(reconnects)"),
            ("cpuSeconds", plain(cpuSeconds, 3)),
        ]
        return "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    /// What a person reads at the end of a run.
    public var text: String {
        var lines = [
            "requests   \(planned) planned, \(sent) sent, \(answered) answered, \(accepted) accepted",
            "rate       \(plain(rate, 0)) answers/s over \(plain(seconds, 1)) s"
                + " (\(profile.rawValue) at \(plain(targetRate, 0))/s, \(connections) connections)",
            "latency    p50 \(plain(p50Ms, 2)) ms, p90 \(plain(p90Ms, 2)) ms, p99 \(plain(p99Ms, 2)) ms,"
                + " p99.9 \(plain(p999Ms, 2)) ms, longest \(plain(maxMs, 2)) ms, from the intended start",
            "status     \(listed(status))",
            "errors     \(errors)" + (errors == 0 ? "" : " (\(listed(failures)))"),
        ]
        if reconnects > 0 { lines.append("reconnects \(reconnects)") }
        lines += limits
        return lines.joined(separator: "\n")
    }

    /// What the run could not do, and whose fault it was.
    private var limits: [String] {
        var lines: [String] = []
        if late > 0 {
            let verdict = generatorWasLate ? ": the generator itself was late, its latencies are not the service's" : ""
            lines.append(
                "late       \(late) requests left more than 1 ms after they were due"
                    + " (the generator used \(plain(seconds > 0 ? cpuSeconds / seconds * 100 : 0, 0)) % of a core)\(verdict)"
            )
        }
        if waited > 0 {
            lines.append(
                "waited     \(waited) requests found every connection busy when they were due:"
                    + " the service was slower than the rate, or it needs more --connections"
            )
        }
        return lines
    }
}

extension LoadProgress {
    public var text: String {
        let errors = failures.values.reduce(0, +)
        var line =
            "\(padded("\(second)", 4))s \(padded("\(answered)", 7))/s  p50 \(plain(p50Ms, 2))  p99 \(plain(p99Ms, 2))"
            + "  p99.9 \(plain(p999Ms, 2)) ms  \(listed(status))"
        if errors > 0 { line += "  errors \(errors) (\(listed(failures)))" }
        if late > 0 { line += "  late \(late)" }
        if waited > 0 { line += "  waited \(waited)" }
        return line
    }
}

private func listed(_ counts: [Int: Int]) -> String {
    counts.isEmpty
        ? "none" : counts.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
}

private func listed(_ counts: [LoadFailure: Int]) -> String {
    LoadFailure.allCases.compactMap { kind in counts[kind].map { "\(kind.rawValue): \($0)" } }.joined(separator: ", ")
}

private func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}

/// A number with that many decimals, never in scientific notation.
func plain(_ value: Double, _ decimals: Int) -> String {
    let scale = (0..<decimals).reduce(1.0) { sum, _ in sum * 10 }
    let scaled = (value * scale).rounded()
    guard scaled.isFinite, abs(scaled) < 9e15 else { return "0" }
    let whole = Int64(scaled)
    let (units, rest) = abs(whole).quotientAndRemainder(dividingBy: Int64(scale))
    let sign = whole < 0 ? "-" : ""
    guard decimals > 0 else { return "\(sign)\(units)" }
    let digits = "\(rest)"
    return "\(sign)\(units)." + String(repeating: "0", count: decimals - digits.count) + digits
}
