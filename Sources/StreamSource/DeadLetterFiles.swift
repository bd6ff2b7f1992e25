import FoundationEssentials
import Glibc
import TrackingModel

/// Dead letters as `DIR/*.jsonl`, an object a line; each process writes files of its own.
///
/// What earlier processes wrote is looked through once, so that nothing is kept twice. At most a million letters are
/// remembered, newest files first; an older one that came again would be kept again.
public actor DeadLetterFiles: DeadLetterPlace {
    /// A file that has reached it is finished, in bytes.
    private static let rotateBytes = 64 << 20
    private static let maximumRemembered = 1_000_000

    private let directory: String
    private var known: Set<UInt64> = []
    private var isLoaded = false
    private var descriptor: CInt = -1
    private var written = 0

    public init(directory: String) { self.directory = directory }

    deinit {
        if self.descriptor >= 0 { close(self.descriptor) }
    }

    public func keep(_ letters: [DeadLetter]) async throws(StreamFailure) {
        if !self.isLoaded {
            self.load()
            self.isLoaded = true
        }
        var fresh: Set<UInt64> = []
        var bytes: [UInt8] = []
        for letter in letters {
            let line = Self.line(letter)
            let key = Self.key(letter.identity)
            guard !self.known.contains(key), fresh.insert(key).inserted else { continue }
            bytes += line
        }
        guard !bytes.isEmpty else { return }
        try self.write(bytes)
        if self.known.count + fresh.count > Self.maximumRemembered { self.known.removeAll() }
        self.known.formUnion(fresh)
    }

    private static func line(_ letter: DeadLetter) -> [UInt8] {
        var json = JSONText()
        json.beginObject()
        for (name, value) in letter.fields { json.field(name, value) }
        json.field("identity", letter.identity)
        json.endObject()
        return json.bytes + [UInt8(ascii: "\n")]
    }

    private static func key(_ identity: String) -> UInt64 {
        var hash = FNV1a()
        hash.add(identity.utf8)
        return hash.value
    }

    // MARK: Files

    private func write(_ bytes: [UInt8]) throws(StreamFailure) {
        if self.descriptor < 0 || self.written >= Self.rotateBytes { try self.begin() }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(self.descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw self.abandon("write") }
            done += count
        }
        guard fdatasync(self.descriptor) == 0 else { throw self.abandon("fdatasync") }
        self.written += bytes.count
    }

    /// After a failure a half line may stand at the file's end: nothing more is written to it.
    private func abandon(_ call: String) -> StreamFailure {
        let failure = self.failure(call)
        close(self.descriptor)
        self.descriptor = -1
        return failure
    }

    private func begin() throws(StreamFailure) {
        if self.descriptor >= 0 { close(self.descriptor) }
        self.descriptor = -1
        try self.makeDirectory(self.directory)
        let start = "\(self.directory)/\(WallClock.now().milliseconds)-\(getpid())"
        // Another place of this process may begin a file in the same millisecond.
        for number in 0..<100 {
            let path = "\(start)-\(number).jsonl"
            self.descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o600)
            if self.descriptor >= 0 || errno != EEXIST { break }
        }
        guard self.descriptor >= 0 else { throw self.failure("open") }
        self.written = 0
        let folder = open(self.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw self.failure("open") }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw self.failure("fsync") }
    }

    private func makeDirectory(_ path: String) throws(StreamFailure) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw self.failure("mkdir")
        }
        try self.makeDirectory(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw self.failure("mkdir") }
    }

    private func failure(_ call: String) -> StreamFailure {
        StreamFailure("dead letters in \(self.directory): \(call): \(String(cString: strerror(errno)))")
    }

    /// A directory that can't be read will be told of when it is written to.
    private func load() {
        for path in self.files() {
            guard self.known.count < Self.maximumRemembered, let file = fopen(path, "re") else { continue }
            defer { fclose(file) }
            var line: UnsafeMutablePointer<CChar>?
            var capacity = 0
            defer { free(line) }
            while getline(&line, &capacity, file) > 0, self.known.count < Self.maximumRemembered {
                guard let line, let identity = Self.identity(in: String(cString: line)) else { continue }
                self.known.insert(Self.key(identity))
            }
        }
    }

    /// Our own lines end with it; another line has none.
    private static func identity(in line: String) -> String? {
        struct Letter: Decodable { var identity: String }
        return try? JSONDecoder().decode(Letter.self, from: Data(line.utf8)).identity
    }

    private func files() -> [String] {
        guard let stream = opendir(self.directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".jsonl") { names.append(name) }
        }
        return names.sorted(by: >).map { self.directory + "/" + $0 }
    }
}
