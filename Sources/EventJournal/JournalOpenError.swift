/// Why a journal does not open.
public struct JournalOpenError: Error, CustomStringConvertible, Sendable {
    public enum Code: Sendable, Equatable {
        /// Another process uses it.
        case locked
        /// A newer version of this program wrote it.
        case newerFormat
        /// The directory cannot be made, listed or written.
        case unusable
    }

    public var code: Code
    /// One sentence that says what to do.
    public var description: String
}
