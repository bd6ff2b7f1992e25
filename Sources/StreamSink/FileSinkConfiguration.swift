/// Where a file sink writes and when it begins a new file.
public struct FileSinkConfiguration: Sendable, Equatable {
    /// Made with mode 0700 where it is missing.
    public var directory: String
    public var batch = BatchLimits()
    /// A file that has reached it is finished.
    public var rotateBytes: Int = 64 << 20
    /// In seconds: how long a file is added to.
    public var rotateSeconds: Int = 3600
    /// In milliseconds: how long what is visible may stay unacknowledged to the journal.
    public var acknowledgeInterval: Int = 250
    /// In milliseconds: how long a shutdown goes on delivering.
    public var drainTimeout: Int = 10_000

    public init(directory: String) {
        self.directory = directory
    }
}
