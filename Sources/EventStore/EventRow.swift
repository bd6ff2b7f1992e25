/// An event as tables keep it: one row, whatever came in which order how often.
public struct EventRow: Sendable, Equatable {
    /// The row's key.
    public var messageID: String
    public var programID: String
    public var checksum: String
    public var customerID: Int32
    public var userAgent: String
    public var programName: String
    public var customerName: String
    public var isValid: Bool
    /// `click`, `impression`, `conversion`, or the number of a type that is newer than this program.
    public var eventType: String
    /// When the request was accepted, in milliseconds since the epoch; 0 in events of the older schema.
    public var time: Int64
    public var parameters: [String: String]
    public var referrer: String
    public var clientAddress: String
    public var programVersion: Int64
}
