/// What the journal asks of a file system; the tests put a model that loses power in its place.
protocol JournalFileSystem: Sendable {
    func list(_ directory: String) throws(IOFailure) -> [String]
    /// Makes the directory and those above it, durably; one that exists is fine.
    func makeDirectory(_ path: String) throws(IOFailure)
    func open(_ path: String, create: Bool) throws(IOFailure) -> any JournalFile
    func rename(_ path: String, to newPath: String) throws(IOFailure)
    func remove(_ path: String) throws(IOFailure)
    /// Makes creations, renames and removals in the directory durable.
    func syncDirectory(_ path: String) throws(IOFailure)
    func freeBytes(_ path: String) throws(IOFailure) -> Int
}

/// An open file. It closes with its last reference, so a reader's file outlives a removal.
protocol JournalFile: AnyObject, Sendable {
    func size() throws(IOFailure) -> Int
    /// Writes all parts one after the other. When it throws, any part of them may have been written.
    func write(_ parts: [UnsafeRawBufferPointer], at offset: Int) throws(IOFailure)
    /// Less than asked only at the end of the file.
    func read(into place: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOFailure) -> Int
    func truncate(to size: Int) throws(IOFailure)
    /// Makes contents and size durable. After it threw, nothing written before is known to be durable, ever.
    func sync() throws(IOFailure)
}

/// A system call that failed.
struct IOFailure: Error, CustomStringConvertible {
    var code: Int32
    var call: String
    var path: String

    var description: String { "\(self.call) \(self.path): \(SystemError.text(self.code))" }
}
