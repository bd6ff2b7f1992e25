/// A program as the Redis hash `{prefix}{programId}`: every value is a string.
extension Program {
    /// The hash of an existing program; the key, not the field `programId`, says whose it is.
    public init(id: ProgramID, hash: [(name: String, value: String)]) throws(MalformedProgram) {
        self.init(id: id)
        for (name, quoted) in hash {
            let value = Self.unquoted(quoted)
            switch name {
            case "programName": self.name = value
            case "checksum": self.checksum = value
            case "customerId": self.customerID = try Self.customerID(value)
            case "customerName": self.customerName = value
            case "valid": self.isValid = try Self.boolean(value, field: name)
            case "version": self.version = try Self.version(value)
            case "validFrom": self.validFrom = try Self.timestamp(value, field: name)
            case "validUntil": self.validUntil = try Self.timestamp(value, field: name)
            case "requireChecksum": self.requiresChecksum = try Self.boolean(value, field: name)
            case "parameters": self.parameters = try ParameterRules(json: Array(value.utf8))
            default: break
            }
        }
    }

    /// What a writer stores, in the order in which it is read by people.
    public var hash: [(name: String, value: String)] {
        var fields = [
            ("programId", self.id.text), ("programName", self.name), ("checksum", self.checksum),
            ("customerId", String(self.customerID)), ("customerName", self.customerName),
            ("valid", self.isValid ? "true" : "false"),
        ]
        if let version = self.version { fields.append(("version", String(version))) }
        if let validFrom = self.validFrom { fields.append(("validFrom", validFrom.rfc3339)) }
        if let validUntil = self.validUntil { fields.append(("validUntil", validUntil.rfc3339)) }
        if self.requiresChecksum { fields.append(("requireChecksum", "true")) }
        if let parameters = self.parameters {
            fields.append(("parameters", String(decoding: parameters.json, as: UTF8.self)))
        }
        return fields.map { (name: $0.0, value: $0.1) }
    }

    /// The older updater stored JSON text, so its strings stand in quotation marks.
    private static func unquoted(_ value: String) -> String {
        guard value.utf8.count >= 2, value.utf8.first == UInt8(ascii: "\""), value.utf8.last == UInt8(ascii: "\"")
        else { return value }
        return String(value.dropFirst().dropLast())
    }
}
