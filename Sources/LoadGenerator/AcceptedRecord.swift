import Glibc

/// The file of accepted messageIds, one a line: written out at the latest when the answers of one turn of the loop have been read.
final class AcceptedRecord {
    private let descriptor: CInt
    private let path: String
    private var pending: [UInt8] = []
    /// Set once a write failed; nothing is written after it.
    private(set) var failure: LoadError?

    private static let name = Array("\"messageId\"".utf8)
    /// No identifier is longer than this.
    private static let longestID = 128

    init(path: String) throws {
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o644)
        self.path = path
        guard descriptor >= 0 else {
            throw LoadError("cannot write the record \(path): \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        close(descriptor)
    }

    var hasPending: Bool { !pending.isEmpty }

    /// Takes the messageId out of the body of an accepted answer; one without leaves no line.
    func note(_ body: UnsafeRawBufferPointer) {
        guard let id = Self.messageID(in: body) else { return }
        pending.append(contentsOf: id)
        pending.append(UInt8(ascii: "\n"))
    }

    func flush() {
        var written = 0
        while written < pending.count, failure == nil {
            let count = pending.withUnsafeBytes { bytes in
                write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            }
            if count >= 0 {
                written += count
            } else if errno != EINTR {
                failure = LoadError("cannot write the record \(path): \(String(cString: strerror(errno)))")
            }
        }
        pending.removeAll(keepingCapacity: true)
    }

    /// The string behind `"messageId"` and its colon; it points into `body`.
    static func messageID(in body: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard body.count > name.count,
            let start = (0..<body.count - name.count).first(where: { body[$0...].starts(with: name) })
        else { return nil }
        var rest = body[(start + name.count)...].drop { $0 == 0x20 }
        guard rest.first == UInt8(ascii: ":") else { return nil }
        rest = rest.dropFirst().drop { $0 == 0x20 }
        guard rest.first == UInt8(ascii: "\"") else { return nil }
        rest = rest.dropFirst()
        guard let end = rest.firstIndex(of: UInt8(ascii: "\"")), rest.startIndex < end,
            end - rest.startIndex <= longestID
        else { return nil }
        return UnsafeRawBufferPointer(rebasing: rest[..<end])
    }
}
