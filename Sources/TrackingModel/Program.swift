/// An advertising program as core data describes it: who it belongs to, when it runs, which requests it takes.
public struct Program: Equatable, Sendable {
    public var id: ProgramID
    public var name = ""
    public var checksum = ""
    public var customerID: Int32 = 0
    public var customerName = ""
    /// Absent in core data means false: a program runs only when somebody said so.
    public var isValid = false
    /// Grows with each change. Programs written by older tools have none.
    public var version: Int64?
    public var validFrom: Timestamp?
    public var validUntil: Timestamp?
    public var requiresChecksum = false
    public var parameters: ParameterRules?

    public init(id: ProgramID) {
        self.id = id
    }
}

/// Why core data can't be used. `field` is the path of the fault inside the program, such as `parameters.types`.
public struct MalformedProgram: Error, Equatable, Sendable, CustomStringConvertible {
    public let field: String
    public let reason: String

    public init(field: String, reason: String) {
        self.field = field
        self.reason = reason
    }

    public var description: String {
        self.field.isEmpty ? self.reason : "\(self.field): \(self.reason)"
    }
}

extension Program {
    static func boolean(_ text: Span<UInt8>, field: String) throws(MalformedProgram) -> Bool {
        if text.equals("true") || text.equals("1") { return true }
        if text.equals("false") || text.equals("0") { return false }
        throw MalformedProgram(field: field, reason: "is neither true, 1, false nor 0")
    }

    static func customerID(_ text: String) throws(MalformedProgram) -> Int32 {
        guard let id = Int32(text) else {
            throw MalformedProgram(field: "customerId", reason: "is no 32-bit integer")
        }
        return id
    }

    static func version(_ text: String) throws(MalformedProgram) -> Int64 {
        guard let version = Int64(text), version >= 0 else {
            throw MalformedProgram(field: "version", reason: "is no integer from 0 to \(Int64.max)")
        }
        return version
    }

    static func timestamp(_ text: String, field: String) throws(MalformedProgram) -> Timestamp {
        guard let timestamp = Timestamp(rfc3339: text) else {
            throw MalformedProgram(field: field, reason: "is no RFC 3339 date-time")
        }
        return timestamp
    }
}
