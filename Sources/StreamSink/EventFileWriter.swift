import Glibc

/// # How a reader never sees half an event
///
/// `DIR/<number>.pb` holds events, each preceded by its length as a varint, and nothing else. Whoever opens one, at any
/// instant, also after a kill or a power cut, finds whole events only. Appending to the visible file cannot give that: the
/// kernel raises the size of a file page by page while one `write` copies, a kill ends the copying between two pages, and
/// a power cut leaves any prefix. So a visible file is never written to.
///
/// Each file has two inodes with hidden names, its *twins*. One is visible; the other one is behind it by one step. A step
/// writes what it lacks to the hidden twin, syncs it, and renames a link to it over the visible name: an atomic
/// replacement by a longer file with the same beginning. So offsets stay good, and a reader that follows opens the name
/// anew for each look. Every byte is written twice, nothing is ever copied again, whatever the size of the file.
///
/// A reader that still holds the twin which was visible before would see it grow. So before it is written to, the kernel is
/// asked for a write lease, which it gives only while nobody else has the inode open. Where it does not, the twin is left to
/// its readers, and a new one is copied while the file is small, or a new file begun when it is large.
///
/// What a step made visible survives a crash of the process. It is acknowledged to the journal after the directory is synced
/// too, so a power cut costs duplicates, no loss.
struct EventFileWriter {
    /// Above it a new file is cheaper than a copy.
    private static let copyBytes = 1 << 20

    private let directory: String
    private let rotateBytes: Int
    private let rotateSeconds: Int
    private var lastNumber: UInt64
    private var current: Twins?

    private struct Twins {
        var number: UInt64
        var began: UInt64
        /// What readers see; nil before the first step.
        var shown: OpenEventFile?
        var hidden: OpenEventFile?
    }

    /// Makes the directory and removes the hidden names of an earlier life.
    init(directory: String, rotateBytes: Int, rotateSeconds: Int) throws(SinkFailure) {
        self.directory = directory
        self.rotateBytes = rotateBytes
        self.rotateSeconds = rotateSeconds
        try EventDirectory.make(directory)
        self.lastNumber = 0
        for name in try EventDirectory.list(directory) {
            if EventFileName.isHidden(name) { unlink(directory + "/" + name) }
            self.lastNumber = max(self.lastNumber, EventFileName.number(of: name) ?? 0)
        }
    }

    /// Makes the framed events visible, all at once. After it threw, nothing of them is, and a new file is begun.
    mutating func show(_ bytes: [UInt8], now: UInt64) throws(SinkFailure) {
        if let current, self.isFinished(current, now) { self.finish() }
        do {
            try self.step(bytes, now)
        } catch {
            self.finish()
            throw error
        }
    }

    /// Makes what was shown survive a power cut.
    func sync() throws(SinkFailure) {
        try EventDirectory.sync(self.directory)
    }

    /// Ends the file; the next events begin another one.
    mutating func finish() {
        guard let current else { return }
        self.current = nil
        for twin in [current.shown, current.hidden] { if let twin { unlink(twin.path) } }
    }

    private func isFinished(_ twins: Twins, _ now: UInt64) -> Bool {
        (twins.shown?.length ?? 0) >= self.rotateBytes
            || now >= twins.began &+ UInt64(clamping: self.rotateSeconds) &* 1000
    }

    private mutating func step(_ bytes: [UInt8], _ now: UInt64) throws(SinkFailure) {
        var twins = self.twinsForStep(now)
        self.current = twins
        let next = try self.nextTwin(&twins)
        self.current = twins
        if let shown = twins.shown { try next.append(contentsOf: shown, from: next.length) }
        try next.append(bytes)
        try next.sync()
        try self.reveal(next, as: twins.number)
        twins.hidden = twins.shown
        twins.shown = next
        self.current = twins
    }

    /// The file to go on with: a new one where a reader keeps the hidden twin of a large one.
    private mutating func twinsForStep(_ now: UInt64) -> Twins {
        if let current {
            let size = current.shown?.length ?? 0
            guard size > Self.copyBytes, let hidden = current.hidden, !hidden.isOursAlone else { return current }
            self.finish()
        }
        self.lastNumber = max(self.lastNumber &+ 1, now)
        return Twins(number: self.lastNumber, began: now)
    }

    private func nextTwin(_ twins: inout Twins) throws(SinkFailure) -> OpenEventFile {
        if let hidden = twins.hidden {
            if hidden.isOursAlone { return hidden }
            unlink(hidden.path)
            twins.hidden = nil
        }
        let letter: Character = twins.shown?.path.last == "a" ? "b" : "a"
        let fresh = try OpenEventFile(path: self.directory + "/" + EventFileName.hidden(twins.number, letter))
        twins.hidden = fresh
        return fresh
    }

    /// A second link to the twin takes the visible name.
    private func reveal(_ twin: OpenEventFile, as number: UInt64) throws(SinkFailure) {
        let passing = self.directory + "/" + EventFileName.hidden(number, "n")
        unlink(passing)
        guard link(twin.path, passing) == 0 else { throw SinkFailure("link", passing) }
        let visible = self.directory + "/" + EventFileName.visible(number)
        guard rename(passing, visible) == 0 else { throw SinkFailure("rename", passing) }
    }
}

/// What a file sink asks of its directory.
enum EventDirectory {
    static func make(_ path: String) throws(SinkFailure) {
        if mkdir(path, 0o700) == 0 { return }
        switch errno {
        case EEXIST: return
        case ENOENT:
            guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
                throw SinkFailure("mkdir", path)
            }
            try Self.make(String(path[..<slash]))
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw SinkFailure("mkdir", path) }
        default: throw SinkFailure("mkdir", path)
        }
    }

    static func list(_ path: String) throws(SinkFailure) -> [String] {
        guard let stream = opendir(path) else { throw SinkFailure("opendir", path) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
            )
        }
        return names
    }

    static func sync(_ path: String) throws(SinkFailure) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SinkFailure("open", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SinkFailure("fsync", path) }
    }
}
