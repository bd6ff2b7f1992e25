import Glibc

/// Keeps a journal directory for one process: an open-file-description lock, which ends with the descriptor and so with
/// the process, however it ends.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// F_OFD_SETLK of linux/fcntl.h; the C library shows the name only to GNU sources.
    private static let setOpenFileLock: Int32 = 37

    /// - Returns: nil when another process holds it.
    init?(directory: String) throws(IOFailure) {
        let path = directory + "/lock"
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard self.descriptor >= 0 else { throw IOFailure(code: errno, call: "open", path: path) }
        var range = flock(l_type: Int16(F_WRLCK), l_whence: Int16(SEEK_SET), l_start: 0, l_len: 0, l_pid: 0)
        guard fcntl(self.descriptor, Self.setOpenFileLock, &range) == 0 else {
            let code = errno
            if code == EAGAIN || code == EACCES { return nil }
            throw IOFailure(code: code, call: "fcntl", path: path)
        }
    }

    deinit {
        if self.descriptor >= 0 { close(self.descriptor) }
    }
}
