import Glibc
import StreamSink

/// The files of a file sink, read while they are written: new files and growing ones, in the order of their names.
///
/// Its parts are the files, its positions offsets. It looks at the directory every 50 ms, more seldom where a look takes
/// long. What is torn is told as a damaged record and stays where it is: should the file grow over it, it is read.
public actor EventFilesSource: RecordSource {
    private struct Stuck {
        var offset: Int
        var size: Int
        var since: ContinuousClock.Instant
        var isTold = false
    }

    /// How long a torn tail may be one that is being written.
    private static let patience = Duration.seconds(1)
    /// Of a torn place, so much is kept in the dead letter.
    private static let keptBytes = 64 << 10

    public nonisolated let name: String
    private let directory: String
    private let checkpoints: any CheckpointStore
    private var offsets: [String: Int] = [:]
    private var stuck: [String: Stuck] = [:]
    private var isLoaded = false

    public init(directory: String, checkpoints: any CheckpointStore) {
        self.directory = Self.absolute(directory)
        self.name = "file:" + self.directory
        self.checkpoints = checkpoints
    }

    public func next(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch? {
        try await self.load()
        let end = ContinuousClock.now + .milliseconds(250)
        while true {
            let began = ContinuousClock.now
            let batch = try self.look(limits)
            if !batch.isEmpty { return batch }
            let now = ContinuousClock.now
            guard now < end, !Task.isCancelled else { return batch }
            try? await Task.sleep(for: min(max(.milliseconds(50), (now - began) * 20), .seconds(1)))
        }
    }

    /// The offsets are stored with the rows.
    public func commit(_ batch: RecordBatch) async throws(StreamFailure) {}

    public func close() async {}

    private func load() async throws(StreamFailure) {
        guard !self.isLoaded else { return }
        do {
            self.offsets = try await self.checkpoints.positions(of: self.name).compactMapValues { Int($0) }
        } catch {
            throw StreamFailure("how far \(self.name) was read can't be found out: \(error)")
        }
        self.isLoaded = true
    }

    private func look(_ limits: BatchLimit) throws(StreamFailure) -> RecordBatch {
        let names = try self.fileNames()
        var filling = Filling(limits: limits)
        var complaint: String?
        for name in names {
            if filling.isFull { break }
            complaint = self.read(name, into: &filling) ?? complaint
        }
        if filling.batch.isEmpty, let complaint { throw StreamFailure(complaint) }
        self.forgetMissing(names, &filling.batch)
        return filling.batch
    }

    /// - Returns: what is wrong with the file, if anything.
    private func read(_ name: String, into filling: inout Filling) -> String? {
        let path = self.directory + "/" + name
        var status = stat()
        // A file may go between two calls.
        guard stat(path, &status) == 0 else { return nil }
        let size = Int(status.st_size)
        let known = self.offsets[name] ?? 0
        // A shorter file under the same name is another one.
        let start = size < known ? 0 : known
        guard size > start, !self.isStuck(name, size) else { return nil }
        var reader = EventFileReader(path: path, offset: start)
        var end = start
        var complaint: String?
        do {
            let finding = try reader.read { bytes, offset in
                guard !filling.isFull else { throw Full(offset: offset) }
                filling.add(StreamRecord(origin: "\(path)@\(offset)", bytes: Array(bytes)))
            }
            end = reader.offset
            switch finding {
            case .complete: self.stuck[name] = nil
            case .malformed(let offset): self.tell(name, path, offset, size, &filling)
            case .unreadable(let cause): complaint = cause
            }
        } catch let full as Full {
            end = full.offset
            filling.batch.isMoreReady = true
        } catch {
            complaint = "\(error)"
        }
        if end != known {
            self.offsets[name] = end
            filling.batch.checkpoints.append(Checkpoint(source: self.name, part: name, position: "\(end)"))
        }
        return complaint
    }

    /// Whether nothing has changed since a look found the file torn, and that was told.
    private func isStuck(_ name: String, _ size: Int) -> Bool {
        guard let stuck = self.stuck[name], stuck.size == size else { return false }
        return stuck.isTold || ContinuousClock.now - stuck.since < Self.patience
    }

    /// What can never become an event is told at once, a tail that may be in the writing after a while.
    private func tell(_ name: String, _ path: String, _ offset: Int, _ size: Int, _ filling: inout Filling) {
        let now = ContinuousClock.now
        var present = self.stuck[name] ?? Stuck(offset: offset, size: size, since: now)
        if present.offset != offset || present.size != size {
            present = Stuck(offset: offset, size: size, since: now, isTold: present.isTold && present.offset == offset)
        }
        let bytes = Self.bytes(of: path, at: offset, upTo: Self.keptBytes)
        let isTorn = bytes.withUnsafeBytes { EventFraming.event(at: 0, in: $0) } == .malformed
        if !present.isTold, isTorn || now - present.since >= Self.patience {
            present.isTold = true
            let damage = Damage(.malformed, "No whole event begins here, and nothing after it can be told apart.")
            filling.add(StreamRecord(origin: "\(path)@\(offset)", bytes: bytes, damage: damage))
        }
        self.stuck[name] = present
    }

    private func forgetMissing(_ names: [String], _ batch: inout RecordBatch) {
        guard !batch.isEmpty, self.offsets.count > names.count else { return }
        let present = Set(names)
        for name in self.offsets.keys where !present.contains(name) {
            self.offsets[name] = nil
            self.stuck[name] = nil
            batch.checkpoints.append(Checkpoint(source: self.name, part: name, position: nil))
        }
    }

    // MARK: Files

    /// None while there is no directory: whoever writes makes it.
    private func fileNames() throws(StreamFailure) -> [String] {
        if access(self.directory, R_OK | X_OK) != 0, errno != ENOENT {
            throw StreamFailure("\(self.directory) can't be read: \(String(cString: strerror(errno)))")
        }
        return EventFileReader.files(in: self.directory).map { String($0.dropFirst(self.directory.count + 1)) }
    }

    private static func bytes(of path: String, at offset: Int, upTo count: Int) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { Glibc.close(descriptor) }
        return [UInt8](unsafeUninitializedCapacity: count) { place, filled in
            filled = max(0, pread(descriptor, place.baseAddress, count, offset))
        }
    }

    private static func absolute(_ path: String) -> String {
        var path = path
        if !path.hasPrefix("/"), let folder = getcwd(nil, 0) {
            path = String(cString: folder) + "/" + path
            free(folder)
        }
        let parts = path.split(separator: "/").filter { $0 != "." }
        return "/" + parts.joined(separator: "/")
    }
}

/// A batch that is being filled.
struct Filling {
    let limits: BatchLimit
    var batch = RecordBatch()
    private var bytes = 0

    init(limits: BatchLimit) { self.limits = limits }

    var isFull: Bool { self.batch.records.count >= self.limits.records || self.bytes >= self.limits.bytes }

    mutating func add(_ record: StreamRecord) {
        self.bytes += record.bytes.count
        self.batch.records.append(record)
    }
}

/// The batch is full; reading goes on here.
private struct Full: Error {
    let offset: Int
}
