import Glibc

/// The lines of a file or of standard input, each a record; empty lines are none.
///
/// It ends with the input. Nothing is remembered: read again, everything comes again.
public actor LineSource: RecordSource {
    /// A longer line is damaged; in bytes.
    public static let maximumLineBytes = 1 << 20
    private static let keptBytes = 64 << 10

    public nonisolated let name: String
    private let descriptor: CInt
    private var buffer: [UInt8] = []
    private var start = 0
    private var line = 0
    private var isSkipping = false
    private var isAtEnd = false

    /// - Parameter path: `-` is standard input.
    /// - Throws: where the file can't be opened.
    public init(path: String) throws(StreamFailure) {
        self.name = path == "-" ? "standard input" : "file:" + path
        self.descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        guard self.descriptor >= 0 else {
            throw StreamFailure("\(path) can't be opened: \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        Glibc.close(self.descriptor)
    }

    public func next(_ limits: BatchLimit) async throws(StreamFailure) -> RecordBatch? {
        var filling = Filling(limits: limits)
        while !filling.isFull {
            if let record = self.takeLine() {
                if let record { filling.add(record) }
                continue
            }
            if self.isAtEnd { return filling.batch.isEmpty ? nil : filling.batch }
            guard self.isReadable(within: filling.batch.isEmpty ? 200 : 0) else { return filling.batch }
            try self.fill()
        }
        filling.batch.isMoreReady = true
        return filling.batch
    }

    public func commit(_ batch: RecordBatch) async throws(StreamFailure) {}

    public func close() async {}

    /// - Returns: nil where no whole line is here, a nil record for a line without one.
    private func takeLine() -> StreamRecord?? {
        let end: Int
        if let newline = self.buffer[self.start...].firstIndex(of: UInt8(ascii: "\n")) {
            end = newline
        } else if self.isAtEnd, self.start < self.buffer.count {
            end = self.buffer.count
        } else {
            return self.skipLongLine()
        }
        var bytes = self.buffer[self.start..<end]
        self.start = min(end + 1, self.buffer.count)
        self.line += 1
        if self.isSkipping {
            self.isSkipping = false
            return .some(nil)
        }
        if self.line == 1, bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        if bytes.last == UInt8(ascii: "\r") { bytes = bytes.dropLast() }
        guard bytes.contains(where: { $0 != 0x20 && $0 != 0x09 }) else { return .some(nil) }
        return .some(StreamRecord(origin: "line \(self.line)", bytes: Array(bytes)))
    }

    /// The beginning of a line that has no end within the limit; its rest is passed over.
    private func skipLongLine() -> StreamRecord?? {
        guard self.buffer.count - self.start > Self.maximumLineBytes else { return nil }
        let kept = Array(self.buffer[self.start..<self.start + Self.keptBytes])
        self.start = self.buffer.count
        defer { self.isSkipping = true }
        guard !self.isSkipping else { return .some(nil) }
        let damage = Damage(.malformed, "The line is longer than \(Self.maximumLineBytes) bytes.")
        return .some(StreamRecord(origin: "line \(self.line + 1)", bytes: kept, damage: damage))
    }

    private func isReadable(within milliseconds: CInt) -> Bool {
        var descriptor = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, milliseconds) > 0
    }

    private func fill() throws(StreamFailure) {
        self.buffer.removeFirst(self.start)
        self.start = 0
        var part = [UInt8](repeating: 0, count: 256 << 10)
        let count = read(self.descriptor, &part, part.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        guard count >= 0 else { throw StreamFailure("\(self.name) can't be read: \(String(cString: strerror(errno)))") }
        if count == 0 { self.isAtEnd = true }
        self.buffer += part[..<count]
    }
}
