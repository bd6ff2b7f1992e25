import Glibc

/// A file as it is at one moment.
struct FileContents {
    /// Changes whenever the file does: rewritten in place, replaced by rename, or a link that points elsewhere.
    struct Signature: Equatable, Sendable {
        private let device: UInt64
        private let inode: UInt64
        private let size: Int64
        private let modified: [Int]

        /// - Returns: nil where there is no such file. Links are followed.
        init?(path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            modified = [
                status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
            ]
        }
    }

    static func read(path: String, maximumBytes: Int) throws(ProgramsFile.Fault) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw .init(line: nil, reason: "it cannot be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 256 * 1024)
        while true {
            let count = Glibc.read(file, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw .init(line: nil, reason: "it cannot be read: \(String(cString: strerror(errno)))")
            }
            guard count > 0 else { return bytes }
            guard bytes.count + count <= maximumBytes else {
                throw .init(line: nil, reason: "it is larger than \(maximumBytes) bytes")
            }
            bytes.append(contentsOf: part[..<count])
        }
    }
}
