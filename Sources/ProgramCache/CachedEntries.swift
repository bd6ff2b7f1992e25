import TrackingModel

extension RenderedProgram: Keyed {
    func hashKey(with hash: KeyHash) -> UInt32 { hash(self.id) }

    @inline(__always)
    func hasKey(_ key: Span<UInt8>) -> Bool { self.id.equals(key) }
}

/// An id for which there is no usable program: known, for a short while, without asking again.
final class Absence: Keyed {
    let id: ProgramID
    let kind: Kind

    enum Kind: Sendable {
        /// Redis has said that there is no such program.
        case unknown
        /// There is one, but it can't be read.
        case malformed
    }

    init(id: ProgramID, kind: Kind) {
        self.id = id
        self.kind = kind
    }

    func hashKey(with hash: KeyHash) -> UInt32 {
        let id = self.id.text.utf8
        return hash(id.span)
    }

    func hasKey(_ key: Span<UInt8>) -> Bool {
        let id = self.id.text.utf8
        return key.equals(id.span)
    }
}
