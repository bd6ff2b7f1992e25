import TestSupport

/// One scrape of the Prometheus text of a service.
struct Metrics {
    struct Sample: Equatable {
        let name: String
        let labels: [String: String]
        let value: Double
    }

    let samples: [Sample]

    init(_ service: Service) throws {
        try self.init(text: service.manage("/metrics").text)
    }

    init(text: String) throws {
        samples = try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(Self.sample)
    }

    /// The sum of all series of that name whose labels contain the given ones; nil without any.
    func value(_ name: String, labels: [String: String] = [:]) -> Double? {
        let found = samples.filter { sample in
            sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
        }
        return found.isEmpty ? nil : found.map(\.value).reduce(0, +)
    }

    func has(_ name: String) -> Bool {
        samples.contains { $0.name == name }
    }

    private static func sample(_ line: Substring) throws -> Sample {
        guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else {
            throw ServiceFailure("no sample: \(line)")
        }
        let series = line[..<space]
        guard let brace = series.firstIndex(of: "{") else {
            return Sample(name: String(series), labels: [:], value: value)
        }
        // No label value of the service contains a comma or a quote.
        let pairs = series[series.index(after: brace)...].dropLast().split(separator: ",").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1)
            return (String(parts[0]), String(parts[1].dropFirst().dropLast()))
        }
        return Sample(name: String(series[..<brace]), labels: Dictionary(uniqueKeysWithValues: pairs), value: value)
    }
}
