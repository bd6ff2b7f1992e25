import FoundationEssentials

/// A program as a JSON object: a pushed message, a line of an import, an entry of the embedded file.
extension Program: Decodable {
    /// One object. Fields that are not ours are ignored, so the older system's files are understood.
    public init(json: [UInt8]) throws(MalformedProgram) {
        self = try decodeProgramJSON(Self.self, from: json)
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: FieldName.self)
        guard let id = ProgramID(try fields.text("programId") ?? "") else {
            throw MalformedProgram(field: "programId", reason: "is not 1 to 64 of A-Z a-z 0-9 _ -")
        }
        self.init(id: id)
        self.name = try fields.text("programName") ?? ""
        self.checksum = try fields.text("checksum") ?? ""
        self.customerName = try fields.text("customerName") ?? ""
        if let text = try fields.numberOrText("customerId") { self.customerID = try Self.customerID(text) }
        if let isValid = try fields.boolean("valid") { self.isValid = isValid }
        if let text = try fields.numberOrText("version") { self.version = try Self.version(text) }
        if let text = try fields.text("validFrom") { self.validFrom = try Self.timestamp(text, field: "validFrom") }
        if let text = try fields.text("validUntil") { self.validUntil = try Self.timestamp(text, field: "validUntil") }
        if let required = try fields.boolean("requireChecksum") { self.requiresChecksum = required }
        self.parameters = try fields.decodeIfPresent(ParameterRules.self, forKey: FieldName("parameters"))
    }

    /// One line, with the fields in the order in which they are read by people.
    public var json: [UInt8] {
        var text = JSONText()
        text.beginObject()
        text.field("programId", self.id.text)
        text.field("programName", self.name)
        text.field("checksum", self.checksum)
        text.field("customerId", Int64(self.customerID))
        text.field("customerName", self.customerName)
        text.field("valid", self.isValid)
        if let version = self.version { text.field("version", version) }
        if let validFrom = self.validFrom { text.field("validFrom", validFrom.rfc3339) }
        if let validUntil = self.validUntil { text.field("validUntil", validUntil.rfc3339) }
        if self.requiresChecksum { text.field("requireChecksum", true) }
        if let parameters = self.parameters { text.field("parameters", raw: parameters.json) }
        text.endObject()
        return text.bytes
    }
}

extension ParameterRules: Decodable {
    public convenience init(json: [UInt8]) throws(MalformedProgram) {
        let rules: ParameterRules
        do {
            rules = try decodeProgramJSON(ParameterRules.self, from: json)
        } catch {
            throw MalformedProgram(
                field: error.field.isEmpty ? "parameters" : "parameters.\(error.field)",
                reason: error.reason
            )
        }
        self.init(
            types: rules.types,
            allowed: rules.allowed,
            required: rules.required,
            together: rules.together,
            values: rules.values
        )
    }

    public convenience init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: FieldName.self)
        // A rule that is not understood can't be kept, so it is a fault rather than a field to skip.
        let known = ["types", "allowed", "required", "together", "values"]
        if let unknown = fields.allKeys.first(where: { !known.contains($0.stringValue) }) {
            throw MalformedProgram(field: unknown.path(after: decoder), reason: "is no rule")
        }
        var types: Set<TrackingType>?
        if let names = try fields.decodeIfPresent([String].self, forKey: FieldName("types")) {
            types = []
            for name in names {
                guard let type = TrackingType(name: name) else {
                    throw MalformedProgram(
                        field: FieldName("types").path(after: decoder),
                        reason: "names a type other than click, impression, conversion"
                    )
                }
                types?.insert(type)
            }
        }
        self.init(
            types: types,
            allowed: try fields.decodeIfPresent([String].self, forKey: FieldName("allowed")),
            required: try fields.decodeIfPresent([String].self, forKey: FieldName("required")) ?? [],
            together: try fields.decodeIfPresent([[String]].self, forKey: FieldName("together")) ?? [],
            values: try fields.decodeIfPresent([String: [String]].self, forKey: FieldName("values")) ?? [:]
        )
    }

    public var json: [UInt8] {
        var text = JSONText()
        text.beginObject()
        if let types = self.types {
            text.field("types", TrackingType.allCases.filter { types.contains($0) }.map(\.name))
        }
        if let allowed = self.allowed { text.field("allowed", allowed) }
        if !self.required.isEmpty { text.field("required", self.required) }
        if !self.together.isEmpty {
            text.key("together")
            text.array(self.together) { $0.array($1) { $0.string($1) } }
        }
        if !self.values.isEmpty {
            text.key("values")
            text.beginObject()
            for (name, values) in self.values.sorted(by: { $0.key < $1.key }) { text.field(name, values) }
            text.endObject()
        }
        text.endObject()
        return text.bytes
    }
}

/// Decodes one document; every fault comes back with its place.
func decodeProgramJSON<Document: Decodable>(
    _ type: Document.Type,
    from json: [UInt8]
) throws(MalformedProgram) -> Document {
    do {
        return try JSONDecoder().decode(type, from: Data(json))
    } catch let fault as MalformedProgram {
        throw fault
    } catch DecodingError.dataCorrupted(let context) where context.codingPath.isEmpty {
        throw MalformedProgram(field: "", reason: "is no JSON document")
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
        DecodingError.dataCorrupted(let context)
    {
        throw MalformedProgram(
            field: context.codingPath.map(\.stringValue).joined(separator: "."),
            reason: "has another type"
        )
    } catch {
        throw MalformedProgram(field: "", reason: "is no JSON document")
    }
}

struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { self.stringValue = name }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }

    func path(after decoder: any Decoder) -> String {
        (decoder.codingPath.map(\.stringValue) + [self.stringValue]).joined(separator: ".")
    }
}

extension KeyedDecodingContainer where Key == FieldName {
    func text(_ name: String) throws -> String? {
        try self.decodeIfPresent(String.self, forKey: FieldName(name))
    }

    func numberOrText(_ name: String) throws -> String? {
        if let number = try? self.decodeIfPresent(Int64.self, forKey: FieldName(name)) { return String(number) }
        return try self.text(name)
    }

    func boolean(_ name: String) throws -> Bool? {
        if let value = try? self.decodeIfPresent(Bool.self, forKey: FieldName(name)) { return value }
        return try self.numberOrText(name).map { try Program.boolean($0.utf8.span, field: name) }
    }
}
