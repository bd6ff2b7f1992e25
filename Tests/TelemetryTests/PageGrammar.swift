/// Reads a page as strictly as the exposition format's grammar describes it, version 0.0.4.
struct PageGrammar {
    struct Sample: Equatable {
        let name: String
        let labels: [String: String]
        let value: Double
    }

    enum Fault: Error, Equatable {
        case line(String)
    }

    private(set) var types: [String: String] = [:]
    private(set) var samples: [Sample] = []
    /// The families in the order of their TYPE lines.
    private(set) var families: [String] = []

    init(_ page: [UInt8]) throws {
        guard page.last == UInt8(ascii: "\n") else { throw Fault.line("no end of line at the end") }
        var help: Set<String> = []
        for line in String(decoding: page.dropLast(), as: UTF8.self).split(
            separator: "\n",
            omittingEmptySubsequences: false
        ) {
            if line.hasPrefix("# HELP ") {
                let words = line.dropFirst(7).split(separator: " ", maxSplits: 1)
                guard words.count == 2, Self.isName(words[0]), help.insert(String(words[0])).inserted else {
                    throw Fault.line(String(line))
                }
            } else if line.hasPrefix("# TYPE ") {
                let words = line.dropFirst(7).split(separator: " ", omittingEmptySubsequences: false).map(String.init)
                guard words.count == 2, Self.isName(words[0]), self.types[words[0]] == nil,
                    ["counter", "gauge", "histogram"].contains(words[1])
                else { throw Fault.line(String(line)) }
                self.types[words[0]] = words[1]
                self.families.append(words[0])
            } else {
                try self.sample(line)
            }
        }
    }

    private static func isName(_ text: some StringProtocol) -> Bool {
        guard let first = text.utf8.first, !(0x30...0x39 ~= first) else { return false }
        return text.utf8.allSatisfy {
            0x30...0x39 ~= $0 || 0x41...0x5a ~= $0 || 0x61...0x7a ~= $0 || $0 == 0x5f || $0 == 0x3a
        }
    }

    /// `name{label="value",…} number`, and its family is the one whose TYPE line came last.
    private mutating func sample(_ line: Substring) throws {
        var rest = line
        func fail() -> Fault { Fault.line(String(line)) }
        let name = rest.prefix { $0 != "{" && $0 != " " }
        guard Self.isName(name), let family = self.families.last else { throw fail() }
        let suffixes = self.types[family] == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard suffixes.contains(where: { family + $0 == name }) else { throw fail() }
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            repeat {
                let label = String(rest.prefix { $0 != "=" })
                rest = rest.dropFirst(label.count)
                guard Self.isName(label), !label.contains(":"), labels[label] == nil, rest.hasPrefix("=\"") else {
                    throw fail()
                }
                rest = rest.dropFirst(2)
                guard let value = Self.value(&rest) else { throw fail() }
                labels[label] = value
                guard let next = rest.first, next == "," || next == "}" else { throw fail() }
                rest = rest.dropFirst()
                if next == "}" { break }
            } while true
        }
        guard rest.first == " ", let value = Self.number(rest.dropFirst()) else { throw fail() }
        self.samples.append(Sample(name: String(name), labels: labels, value: value))
    }

    private static func value(_ rest: inout Substring) -> String? {
        var text = ""
        var scalars = rest.unicodeScalars
        while let scalar = scalars.popFirst() {
            if scalar == "\"" {
                rest = Substring(scalars)
                return text
            }
            guard scalar == "\\" else {
                text.unicodeScalars.append(scalar)
                continue
            }
            switch scalars.popFirst() {
            case "\\": text += "\\"
            case "\"": text += "\""
            case "n": text += "\n"
            default: return nil
            }
        }
        return nil
    }

    private static func number(_ text: Substring) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default: text.utf8.allSatisfy { "0123456789+-.e".utf8.contains($0) } ? Double(text) : nil
        }
    }
}
