import TrackingModel

extension RenderedProgram: Keyed {
    func hashKey(into hasher: inout Hasher) {
        self.hashID(into: &hasher)
    }

    @inline(__always)
    func hasKey(_ key: Span<UInt8>) -> Bool { self.hasID(key) }
}

/// An id for which there is no usable program: known, for a short while, without asking again.
final class Absence: Keyed {
    let id: [UInt8]
    let kind: Kind

    enum Kind: Sendable {
        /// Redis has said that there is no such program.
        case unknown
        /// There is one, but it can't be read.
        case malformed
    }

    init(id: ProgramID, kind: Kind) {
        self.id = Array(id.text.utf8)
        self.kind = kind
    }

    func hashKey(into hasher: inout Hasher) {
        self.id.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    func hasKey(_ key: Span<UInt8>) -> Bool {
        guard key.count == self.id.count else { return false }
        for index in key.indices where key[index] != self.id[index] { return false }
        return true
    }
}
