/// Which combinations of parameters a program takes.
///
/// `type` and `checksum` are always allowed and are not named here.
public final class ParameterRules: Equatable, Sendable {
    /// nil: all three types.
    public let types: Set<TrackingType>?
    /// nil: any other parameter.
    public let allowed: [String]?
    public let required: [String]
    /// All or none of each group.
    public let together: [[String]]
    public let values: [String: [String]]

    /// The same as bytes, in the form the judgement reads.
    let allowedBytes: [[UInt8]]?
    let requiredBytes: [[UInt8]]
    let togetherBytes: [[[UInt8]]]
    let valuesBytes: [(name: [UInt8], values: [[UInt8]])]

    public init(
        types: Set<TrackingType>? = nil,
        allowed: [String]? = nil,
        required: [String] = [],
        together: [[String]] = [],
        values: [String: [String]] = [:]
    ) {
        self.types = types
        self.allowed = allowed
        self.required = required
        self.together = together
        self.values = values
        self.allowedBytes = allowed?.map { Array($0.utf8) }
        self.requiredBytes = required.map { Array($0.utf8) }
        self.togetherBytes = together.map { group in group.map { Array($0.utf8) } }
        self.valuesBytes = values.map { (Array($0.key.utf8), $0.value.map { Array($0.utf8) }) }
    }

    public static func == (left: ParameterRules, right: ParameterRules) -> Bool {
        left === right
            || (left.types == right.types && left.allowed == right.allowed && left.required == right.required
                && left.together == right.together && left.values == right.values)
    }
}
