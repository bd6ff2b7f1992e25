import TrackingModel

/// How a request ended: what its answer is, and where it is entered in the books.
enum Outcome: Hashable, CaseIterable {
    case accepted
    case refused(Refusal)
    case notFound
    case methodNotAllowed
    case targetTooLong
    case headTooLarge
    case methodUnknown
    case versionUnsupported

    static var allCases: [Outcome] {
        [.accepted] + Refusal.allCases.map(Outcome.refused)
            + [.notFound, .methodNotAllowed, .targetTooLong, .headTooLarge, .methodUnknown, .versionUnsupported]
    }

    init(_ fault: HeadFault) {
        switch fault {
        case .malformed: self = .refused(.badRequest)
        case .targetTooLong: self = .targetTooLong
        case .headTooLarge: self = .headTooLarge
        case .methodUnknown: self = .methodUnknown
        case .versionUnsupported: self = .versionUnsupported
        }
    }

    /// From 0, without gaps: the place in a table.
    var index: Int {
        switch self {
        case .accepted: 0
        case .refused(let refusal): 1 + Int(refusal.rawValue)
        case .notFound: 1 + Refusal.allCases.count
        case .methodNotAllowed: 2 + Refusal.allCases.count
        case .targetTooLong: 3 + Refusal.allCases.count
        case .headTooLarge: 4 + Refusal.allCases.count
        case .methodUnknown: 5 + Refusal.allCases.count
        case .versionUnsupported: 6 + Refusal.allCases.count
        }
    }

    var status: Int {
        switch self {
        case .accepted: 200
        case .refused(let refusal): refusal.status
        case .notFound: 404
        case .methodNotAllowed: 405
        case .targetTooLong: 414
        case .headTooLarge: 431
        case .methodUnknown: 501
        case .versionUnsupported: 505
        }
    }

    var code: String {
        switch self {
        case .accepted: "accepted"
        case .refused(let refusal): refusal.code
        case .notFound: "not_found"
        case .methodNotAllowed: "method_not_allowed"
        case .targetTooLong: "uri_too_long"
        case .headTooLarge: "header_fields_too_large"
        case .methodUnknown: "not_implemented"
        case .versionUnsupported: "http_version_not_supported"
        }
    }

    private var sentence: String {
        switch self {
        case .accepted: "The event is recorded."
        case .refused(let refusal): refusal.sentence
        case .notFound: "There is nothing at this path."
        case .methodNotAllowed: "The path does not take this method."
        case .targetTooLong: "The request target is too long."
        case .headTooLarge: "The request head has too many bytes or fields."
        case .methodUnknown: "The method is not known."
        case .versionUnsupported: "Only HTTP/1.0 and HTTP/1.1 are spoken here."
        }
    }

    /// The error body: `{"error": code, "message": sentence}`.
    func answer(allowing methods: String = "GET") -> Answer {
        var text = JSONText()
        text.beginObject()
        text.field("error", self.code)
        text.field("message", self.sentence)
        text.endObject()
        var answer = Answer(status: self.status, body: text.bytes)
        if self.status == 503 { answer.fields.append(("Retry-After", "1")) }
        if self == .methodNotAllowed { answer.fields.append(("Allow", methods)) }
        return answer
    }
}
