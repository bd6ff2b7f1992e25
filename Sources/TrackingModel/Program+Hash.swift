/// A program as the Redis hash `{prefix}{programId}`: every value is a string.
extension Program {
    /// The hash of an existing program; the key, not the field `programId`, says whose it is.
    public init(id: ProgramID, hash: [(name: String, value: String)]) throws(MalformedProgram) {
        self.init(id: id)
        for (name, value) in hash { try self.take(field: name.utf8.span, value.utf8.span) }
    }

    /// Takes one field of the hash; what is none of ours is left.
    public mutating func take(field name: Span<UInt8>, _ quoted: Span<UInt8>) throws(MalformedProgram) {
        let value = Self.unquoted(quoted)
        if name.equals("programName") {
            self.name = String(copying: value)
        } else if name.equals("checksum") {
            self.checksum = String(copying: value)
        } else if name.equals("customerId") {
            self.customerID = try Self.customerID(String(copying: value))
        } else if name.equals("customerName") {
            self.customerName = String(copying: value)
        } else if name.equals("valid") {
            self.isValid = try Self.boolean(value, field: "valid")
        } else if name.equals("version") {
            self.version = try Self.version(String(copying: value))
        } else if name.equals("validFrom") {
            self.validFrom = try Self.timestamp(String(copying: value), field: "validFrom")
        } else if name.equals("validUntil") {
            self.validUntil = try Self.timestamp(String(copying: value), field: "validUntil")
        } else if name.equals("requireChecksum") {
            self.requiresChecksum = try Self.boolean(value, field: "requireChecksum")
        } else if name.equals("parameters") {
            self.parameters = try ParameterRules(json: Array(String(copying: value).utf8))
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
    @_lifetime(copy value)
    private static func unquoted(_ value: Span<UInt8>) -> Span<UInt8> {
        let end = value.count - 1
        guard end >= 1, value[0] == UInt8(ascii: "\""), value[end] == UInt8(ascii: "\"") else { return value }
        return value.extracting(1..<end)
    }
}
