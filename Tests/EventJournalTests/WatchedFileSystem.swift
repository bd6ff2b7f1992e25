@testable import EventJournal

/// The model's disk, and what a test does before a file is written or synced and after it was read.
final class WatchedFileSystem: JournalFileSystem {
    struct Watch: Sendable {
        var willWrite: @Sendable () throws(IOFailure) -> Void = {}
        var didRead: @Sendable (_ bytes: Int) -> Void = { _ in }
        var willSync: @Sendable () -> Void = {}
    }

    private let watch: Watch
    private let model = ModelFileSystem()

    init(_ watch: Watch) { self.watch = watch }

    func list(_ directory: String) throws(IOFailure) -> [String] { try self.model.list(directory) }
    func makeDirectory(_ path: String) throws(IOFailure) {}
    func open(_ path: String, create: Bool) throws(IOFailure) -> any JournalFile {
        WatchedFile(try self.model.open(path, create: create), self.watch)
    }
    func rename(_ path: String, to newPath: String) throws(IOFailure) { try self.model.rename(path, to: newPath) }
    func remove(_ path: String) throws(IOFailure) { try self.model.remove(path) }
    func syncDirectory(_ path: String) throws(IOFailure) { try self.model.syncDirectory(path) }
    func freeBytes(_ path: String) throws(IOFailure) -> Int { try self.model.freeBytes(path) }
}

private final class WatchedFile: JournalFile {
    private let file: any JournalFile
    private let watch: WatchedFileSystem.Watch

    init(_ file: any JournalFile, _ watch: WatchedFileSystem.Watch) {
        self.file = file
        self.watch = watch
    }

    func size() throws(IOFailure) -> Int { try self.file.size() }
    func write(_ parts: [UnsafeRawBufferPointer], at offset: Int) throws(IOFailure) {
        try self.watch.willWrite()
        try self.file.write(parts, at: offset)
    }
    func read(into place: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOFailure) -> Int {
        let count = try self.file.read(into: place, at: offset)
        self.watch.didRead(count)
        return count
    }
    func truncate(to size: Int) throws(IOFailure) { try self.file.truncate(to: size) }
    func sync() throws(IOFailure) {
        self.watch.willSync()
        try self.file.sync()
    }
}
