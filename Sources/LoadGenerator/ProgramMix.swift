import FoundationEssentials

/// The requests that a file of programs suggests: each program asked for in a way that its own rules allow.
extension RequestMix {
    /// Understands a JSON array of programs, or an object whose field `programs` is one.
    public static func paths(ofPrograms json: [UInt8]) throws -> [String] {
        let data = Data(json)
        let decoder = JSONDecoder()
        do {
            let programs = try decoder.decode([Program].self, from: data)
            return programs.map(\.path)
        } catch {
            guard let wrapped = try? decoder.decode(Programs.self, from: data) else {
                throw LoadError("the programs are not a JSON array of objects with a programId each")
            }
            return wrapped.programs.map(\.path)
        }
    }

    private struct Programs: Decodable {
        let programs: [Program]
    }

    /// What of a program decides how it must be asked for.
    private struct Program: Decodable {
        let programId: Text
        let checksum: Text?
        let requireChecksum: Flag?
        let parameters: Rules?

        struct Rules: Decodable {
            let types: [String]?
            let required: [String]?
            let together: [[String]]?
            let values: [String: [String]]?
        }

        var path: String {
            var query: [(String, String)] = []
            let types = parameters?.types ?? []
            if let type = types.first, !types.contains("click") { query.append(("type", type)) }
            if requireChecksum?.isTrue == true, let checksum, !checksum.value.isEmpty {
                query.append(("checksum", checksum.value))
            }
            query += names.map { ($0, parameters?.values?[$0]?.first ?? "1") }
            let pairs = query.map { encoded($0.0) + "=" + encoded($0.1) }.joined(separator: "&")
            return "/event/" + encoded(programId.value) + (pairs.isEmpty ? "" : "?" + pairs)
        }

        /// The required parameters and those that must come with one of them, in a fixed order.
        private var names: [String] {
            var names = Set(parameters?.required ?? [])
            for group in parameters?.together ?? [] where !names.isDisjoint(with: group) { names.formUnion(group) }
            return names.subtracting(["type", "checksum"]).sorted()
        }

        /// Everything but the unreserved characters of RFC 3986 is percent-encoded.
        private func encoded(_ text: String) -> String {
            let digits = Array("0123456789ABCDEF".utf8)
            let bytes = text.utf8.flatMap { byte -> [UInt8] in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                    UInt8(ascii: "~"):
                    return [byte]
                default:
                    return [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// A string that older tools write as a number.
    private struct Text: Decodable {
        let value: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                value = text
            } else {
                value = String(try container.decode(Int64.self))
            }
        }
    }

    /// A boolean that older tools write as a string or a number.
    private struct Flag: Decodable {
        let isTrue: Bool

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let flag = try? container.decode(Bool.self) {
                isTrue = flag
            } else if let text = try? container.decode(String.self) {
                isTrue = text == "true" || text == "1"
            } else {
                isTrue = try container.decode(Int.self) == 1
            }
        }
    }
}
