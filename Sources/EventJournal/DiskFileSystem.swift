import Glibc

/// The real one.
struct DiskFileSystem: JournalFileSystem {
    func list(_ directory: String) throws(IOFailure) -> [String] {
        guard let stream = opendir(directory) else { throw failure("opendir", directory) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    func makeDirectory(_ path: String) throws(IOFailure) {
        if mkdir(path, 0o700) == 0 {
            try? self.syncDirectory(self.parent(of: path))
            return
        }
        switch errno {
        case EEXIST:
            var status = stat()
            guard stat(path, &status) == 0 else { throw failure("stat", path) }
            guard status.st_mode & S_IFMT == S_IFDIR else { throw IOFailure(code: ENOTDIR, call: "mkdir", path: path) }
        case ENOENT where self.parent(of: path) != path:
            try self.makeDirectory(self.parent(of: path))
            try self.makeDirectory(path)
        default:
            throw failure("mkdir", path)
        }
    }

    func open(_ path: String, create: Bool) throws(IOFailure) -> any JournalFile {
        let flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0)
        let descriptor = Glibc.open(path, flags, 0o600)
        guard descriptor >= 0 else { throw failure("open", path) }
        return DiskFile(descriptor: descriptor, path: path)
    }

    /// For readers that own nothing: never writes, makes nothing.
    func openToRead(_ path: String) throws(IOFailure) -> any JournalFile {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", path) }
        return DiskFile(descriptor: descriptor, path: path)
    }

    func rename(_ path: String, to newPath: String) throws(IOFailure) {
        guard Glibc.rename(path, newPath) == 0 else { throw failure("rename", path) }
    }

    func remove(_ path: String) throws(IOFailure) {
        guard unlink(path) == 0 else { throw failure("unlink", path) }
    }

    func syncDirectory(_ path: String) throws(IOFailure) {
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("fsync", path) }
    }

    func freeBytes(_ path: String) throws(IOFailure) -> Int {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw failure("statvfs", path) }
        return Int(clamping: UInt64(status.f_bavail) &* UInt64(status.f_frsize))
    }

    private func parent(of path: String) -> String {
        var end = path.utf8.endIndex
        let bytes = path.utf8
        while end > bytes.startIndex, bytes[bytes.index(before: end)] == UInt8(ascii: "/") {
            end = bytes.index(before: end)
        }
        guard let slash = path[..<end].lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// A descriptor and the calls on it.
final class DiskFile: JournalFile {
    let descriptor: Int32
    private let path: String

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(self.descriptor) }

    func size() throws(IOFailure) -> Int {
        var status = stat()
        guard fstat(self.descriptor, &status) == 0 else { throw failure("fstat", self.path) }
        return Int(status.st_size)
    }

    func write(_ parts: [UnsafeRawBufferPointer], at offset: Int) throws(IOFailure) {
        var vectors = parts.map {
            iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count)
        }
        var position = offset
        var first = 0
        while first < vectors.count {
            let count = min(vectors.count - first, 1024)  // IOV_MAX
            let written = vectors.withUnsafeBufferPointer {
                pwritev(self.descriptor, $0.baseAddress.map { $0 + first }, Int32(count), position)
            }
            guard written > 0 else {
                if written < 0, errno == EINTR { continue }
                throw written == 0
                    ? IOFailure(code: ENOSPC, call: "pwritev", path: self.path) : failure("pwritev", self.path)
            }
            position += written
            var rest = written
            while first < vectors.count, rest >= vectors[first].iov_len {
                rest -= vectors[first].iov_len
                first += 1
            }
            guard rest > 0, first < vectors.count else { continue }
            vectors[first].iov_base = vectors[first].iov_base.map { $0 + rest }
            vectors[first].iov_len -= rest
        }
    }

    func read(into place: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOFailure) -> Int {
        var done = 0
        while done < place.count {
            let got = pread(self.descriptor, place.baseAddress.map { $0 + done }, place.count - done, offset + done)
            if got == 0 { break }
            if got < 0 {
                if errno == EINTR { continue }
                throw failure("pread", self.path)
            }
            done += got
        }
        return done
    }

    func truncate(to size: Int) throws(IOFailure) {
        guard ftruncate(self.descriptor, size) == 0 else { throw failure("ftruncate", self.path) }
    }

    func sync() throws(IOFailure) {
        guard fdatasync(self.descriptor) == 0 else { throw failure("fdatasync", self.path) }
    }
}

private func failure(_ call: String, _ path: String) -> IOFailure {
    IOFailure(code: errno, call: call, path: path)
}

/// What the system says about an error number.
enum SystemError {
    static let noSpace = ENOSPC

    /// No space, no inodes, no quota.
    static func isSpace(_ code: Int32) -> Bool { code == ENOSPC || code == EDQUOT || code == EFBIG }

    static func text(_ code: Int32) -> String {
        guard let text = strerror(code) else { return "error \(code)" }
        return String(cString: text)
    }
}

/// The clocks the journal reads.
enum JournalClock {
    /// Milliseconds since the Unix epoch.
    static func wallMilliseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return UInt64(clamping: time.tv_sec) &* 1000 &+ UInt64(clamping: time.tv_nsec / 1_000_000)
    }

    /// Nanoseconds of a clock that never jumps.
    static func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec)
    }
}
