/// What happened: the `type` of a request.
public enum TrackingType: UInt8, Sendable, CaseIterable {
    case click = 0
    case impression = 1
    case conversion = 2

    public var name: String {
        switch self {
        case .click: "click"
        case .impression: "impression"
        case .conversion: "conversion"
        }
    }

    public init?(name: String) {
        guard let type = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = type
    }

    init?(_ bytes: Span<UInt8>) {
        if bytes.equals("click") {
            self = .click
        } else if bytes.equals("impression") {
            self = .impression
        } else if bytes.equals("conversion") {
            self = .conversion
        } else {
            return nil
        }
    }
}

extension Span where Element == UInt8 {
    @inline(__always)
    public func equals(_ text: StaticString) -> Bool {
        guard self.count == text.utf8CodeUnitCount else { return false }
        for index in self.indices where self[index] != text.utf8Start[index] { return false }
        return true
    }

    @inline(__always)
    public func equals(_ other: Span<UInt8>) -> Bool {
        guard self.count == other.count else { return false }
        let (own, others) = (self.bytes, other.bytes)
        var index = 0
        while index &+ 8 <= own.byteCount {
            guard
                own.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
                    == others.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
            else { return false }
            index &+= 8
        }
        while index < self.count {
            guard self[index] == other[index] else { return false }
            index &+= 1
        }
        return true
    }
}
