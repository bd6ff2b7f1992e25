/// Prometheus' text exposition format, version 0.0.4.
public enum PrometheusText {
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    public static func render(_ families: [MetricFamily]) -> [UInt8] {
        var text = ""
        for family in self.merged(families) {
            text +=
                "# HELP \(family.name) \(self.escaped(family.help, quotes: false))\n# TYPE \(family.name) \(family.kind.rawValue)\n"
            for series in family.series { self.render(series, of: family.name, into: &text) }
        }
        return Array(text.utf8)
    }

    /// A metric may be counted in several places; a page names it once.
    private static func merged(_ families: [MetricFamily]) -> [MetricFamily] {
        var merged: [String: MetricFamily] = [:]
        for family in families {
            if merged[family.name] == nil {
                merged[family.name] = family
            } else {
                merged[family.name]?.series += family.series
            }
        }
        return merged.values.sorted { $0.name < $1.name }
    }

    private static func render(_ series: MetricFamily.Series, of name: String, into text: inout String) {
        switch series.value {
        case .integer(let value):
            text += "\(name)\(self.labels(series.labels)) \(value)\n"
        case .number(let value):
            text += "\(name)\(self.labels(series.labels)) \(self.number(value))\n"
        case .histogram(let bounds, let buckets, let sum):
            var cumulated: UInt64 = 0
            for (index, count) in buckets.enumerated() {
                cumulated &+= count
                let bound = index < bounds.count ? self.number(bounds[index]) : "+Inf"
                text += "\(name)_bucket\(self.labels(series.labels + [("le", bound)])) \(cumulated)\n"
            }
            text += "\(name)_sum\(self.labels(series.labels)) \(self.number(sum))\n"
            text += "\(name)_count\(self.labels(series.labels)) \(cumulated)\n"
        }
    }

    private static func labels(_ labels: [(name: String, value: String)]) -> String {
        guard !labels.isEmpty else { return "" }
        return "{" + labels.map { "\($0.name)=\"\(self.escaped($0.value))\"" }.joined(separator: ",") + "}"
    }

    /// A help text keeps its quotation marks.
    private static func escaped(_ value: String, quotes: Bool = true) -> String {
        var text = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": text += "\\\\"
            case "\"" where quotes: text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }

    /// Bounds and whole numbers without a decimal point, as Prometheus' own clients write them.
    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : "\(value)"
    }
}
