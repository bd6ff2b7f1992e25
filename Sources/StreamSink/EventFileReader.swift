import Glibc

/// Reads events from files of a sink, also while a sink writes them.
///
/// A file is opened for each look and closed after it, because a sink replaces it by a longer one with the same beginning;
/// an offset stays good.
public struct EventFileReader: Sendable {
    /// What a look into a file found.
    public enum Finding: Sendable, Equatable {
        /// All events to the end of the file.
        case complete
        /// Something at this offset is no event, or not a whole one.
        case malformed(offset: Int)
        case unreadable(String)
    }

    /// A `.pb` file, whatever its name.
    public let path: String
    /// Where the next look begins.
    public private(set) var offset: Int = 0

    private static let windowBytes = 1 << 20

    public init(path: String, offset: Int = 0) {
        self.path = path
        self.offset = offset
    }

    /// The event files in a directory, in the order of their events.
    public static func files(in directory: String) -> [String] {
        let names = (try? EventDirectory.list(directory)) ?? []
        return names.filter { $0.hasSuffix(".pb") && !$0.hasPrefix(".") }.sorted().map { directory + "/" + $0 }
    }

    /// Calls `body` with each event that was not read yet and where it begins.
    public mutating func read(_ body: (UnsafeRawBufferPointer, Int) throws -> Void) rethrows -> Finding {
        let descriptor = open(self.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .unreadable(SinkFailure("open", self.path).description) }
        defer { close(descriptor) }
        var wanted = Self.windowBytes
        while true {
            guard let bytes = Self.read(descriptor, at: self.offset, upTo: wanted) else {
                return .unreadable(SinkFailure("pread", self.path).description)
            }
            if bytes.isEmpty { return .complete }
            var used = 0
            let finding = try bytes.withUnsafeBytes { bytes -> EventFraming.Finding in
                while used < bytes.count {
                    let finding = EventFraming.event(at: used, in: bytes)
                    guard case .event(let range) = finding else { return finding }
                    try body(UnsafeRawBufferPointer(rebasing: bytes[range]), self.offset + used)
                    used = range.upperBound
                }
                return .event(0..<0)
            }
            self.offset += used
            switch finding {
            case .event: continue
            case .malformed: return .malformed(offset: self.offset)
            case .incomplete:
                // Not even a window holds it: a larger one, or the file ends inside of it.
                guard used == 0 else { continue }
                if bytes.count < wanted || wanted > EventFraming.maxEventBytes {
                    return .malformed(offset: self.offset)
                }
                wanted *= 2
            }
        }
    }

    private static func read(_ descriptor: Int32, at offset: Int, upTo count: Int) -> [UInt8]? {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { place, filled in
            while filled < count {
                let got = pread(descriptor, place.baseAddress.map { $0 + filled }, count - filled, offset + filled)
                if got < 0, errno == EINTR { continue }
                failed = got < 0
                if got <= 0 { break }
                filled += got
            }
        }
        return failed ? nil : bytes
    }
}
