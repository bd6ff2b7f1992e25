import Glibc

/// An inode of a file sink: a descriptor, a hidden name, and how much of it is written.
final class OpenEventFile {
    let descriptor: Int32
    let path: String
    private(set) var length = 0

    /// F_SETLEASE, F_SETSIG of linux/fcntl.h; the C library shows the names only to GNU sources.
    private static let setLease: Int32 = 1024
    private static let setSignal: Int32 = 10

    init(path: String) throws(SinkFailure) {
        self.path = path
        self.descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard self.descriptor >= 0 else { throw SinkFailure("open", path) }
    }

    deinit {
        if self.descriptor >= 0 { close(self.descriptor) }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(SinkFailure) {
        var done = 0
        while done < bytes.count {
            let written = pwrite(
                self.descriptor,
                bytes.baseAddress.map { $0 + done },
                bytes.count - done,
                self.length + done
            )
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw SinkFailure("pwrite", self.path) }
            done += written
        }
        self.length += done
    }

    func append(_ bytes: [UInt8]) throws(SinkFailure) {
        try bytes.withUnsafeBufferPointer { bytes throws(SinkFailure) in
            try self.append(UnsafeRawBufferPointer(bytes))
        }
    }

    /// Appends what stands in the other file from `start` on.
    func append(contentsOf other: OpenEventFile, from start: Int) throws(SinkFailure) {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { block.deallocate() }
        var position = start
        while position < other.length {
            let got = pread(other.descriptor, block.baseAddress, min(block.count, other.length - position), position)
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw SinkFailure("pread", other.path) }
            try self.append(UnsafeRawBufferPointer(rebasing: block[..<got]))
            position += got
        }
    }

    func sync() throws(SinkFailure) {
        guard fdatasync(self.descriptor) == 0 else { throw SinkFailure("fdatasync", self.path) }
    }

    /// Whether nobody else has the inode open, here or in another process: the kernel gives a write lease only then
    /// (fcntl(2), "Leases"). On file systems without leases the answer is no.
    var isOursAlone: Bool {
        // A reader that opens in this instant makes the kernel send a signal; SIGURG is one that does no harm.
        guard fcntl(self.descriptor, Self.setSignal, SIGURG) == 0,
            fcntl(self.descriptor, Self.setLease, Int32(F_WRLCK)) == 0
        else { return false }
        _ = fcntl(self.descriptor, Self.setLease, Int32(F_UNLCK))
        return true
    }
}

/// A system call of a file sink that failed.
struct SinkFailure: Error, CustomStringConvertible {
    var code: Int32
    var call: String
    var path: String

    init(_ call: String, _ path: String, code: Int32 = errno) {
        self.code = code
        self.call = call
        self.path = path
    }

    var description: String {
        let text = strerror(self.code).map { String(cString: $0) } ?? "error \(self.code)"
        return "\(self.call) \(self.path): \(text)"
    }
}
