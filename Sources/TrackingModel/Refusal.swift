/// Why a request is not accepted. The order of the cases is the order in which they are decided.
public enum Refusal: UInt8, CaseIterable, Sendable {
    case badRequest
    case programNotFound
    case programInactive
    case programNotStarted
    case programExpired
    case checksumMissing
    case checksumMismatch
    case missingParameter
    case unknownParameter
    case incompleteCombination
    case valueNotAllowed
    case typeNotAllowed
    case unavailable
    case journalFull
    case overloaded

    /// Which of the books a refusal is entered in.
    public enum Kind: Sendable {
        /// The request is at fault: the same request will be refused again.
        case rejected
        /// We are: the same request may be accepted later.
        case unavailable
        /// There are too many.
        case shed
    }

    public var kind: Kind {
        switch self {
        case .unavailable, .journalFull: .unavailable
        case .overloaded: .shed
        default: .rejected
        }
    }

    /// The HTTP status (RFC 9110 section 15): the model says it because outsiders know the pair of status and code.
    public var status: Int {
        switch self {
        case .badRequest: 400
        case .programNotFound: 404
        case .programInactive, .programNotStarted, .programExpired: 410
        case .checksumMissing, .checksumMismatch: 403
        case .missingParameter, .unknownParameter, .incompleteCombination, .valueNotAllowed, .typeNotAllowed: 422
        case .unavailable, .journalFull, .overloaded: 503
        }
    }

    public var code: String {
        switch self {
        case .badRequest: "bad_request"
        case .programNotFound: "program_not_found"
        case .programInactive: "program_inactive"
        case .programNotStarted: "program_not_started"
        case .programExpired: "program_expired"
        case .checksumMissing: "checksum_missing"
        case .checksumMismatch: "checksum_mismatch"
        case .missingParameter: "missing_parameter"
        case .unknownParameter: "unknown_parameter"
        case .incompleteCombination: "incomplete_combination"
        case .valueNotAllowed: "value_not_allowed"
        case .typeNotAllowed: "type_not_allowed"
        case .unavailable: "unavailable"
        case .journalFull: "journal_full"
        case .overloaded: "overloaded"
        }
    }

    public var sentence: String {
        switch self {
        case .badRequest: "The path or the query is malformed."
        case .programNotFound: "No program has this id."
        case .programInactive: "The program is switched off."
        case .programNotStarted: "The program has not started yet."
        case .programExpired: "The program has ended."
        case .checksumMissing: "The program requires a checksum."
        case .checksumMismatch: "The checksum is not the program's."
        case .missingParameter: "A required parameter is missing."
        case .unknownParameter: "The program does not take one of the parameters."
        case .incompleteCombination: "Parameters that belong together are incomplete."
        case .valueNotAllowed: "A parameter has a value that the program does not take."
        case .typeNotAllowed: "The program does not take events of this type."
        case .unavailable: "The program cannot be looked up or the event cannot be recorded now."
        case .journalFull: "There is no room to record the event now."
        case .overloaded: "The service has more requests than it can take now."
        }
    }
}
