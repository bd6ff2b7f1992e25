/// One event for the function, and until when it wants its answer.
public struct Invocation: Sendable, Equatable {
    public var requestID: String
    /// Milliseconds since the Unix epoch.
    public var deadline: Int64
    /// Of AWS X-Ray; empty where there is none.
    public var traceID: String
    /// JSON.
    public var event: [UInt8]

    public init(requestID: String, deadline: Int64, traceID: String = "", event: [UInt8]) {
        self.requestID = requestID
        self.deadline = deadline
        self.traceID = traceID
        self.event = event
    }
}

/// What Lambda is told instead of an answer: a word to count by, and a sentence.
public struct FunctionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// `Category.Reason`, as the Runtime API wants it.
    public var type: String
    /// Without secrets.
    public var description: String

    public init(_ type: String, _ description: String) {
        self.type = type
        self.description = description
    }
}
