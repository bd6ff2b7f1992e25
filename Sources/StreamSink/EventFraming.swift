/// Events in a row, each preceded by its length as a varint.
public enum EventFraming {
    /// The longest event a reader takes for one: 16 MiB.
    public static let maxEventBytes = 16 << 20

    static func append(_ event: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        var rest = UInt64(event.count)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
        bytes.append(contentsOf: event)
    }

    /// What stands at a place.
    public enum Finding: Equatable, Sendable {
        case event(Range<Int>)
        /// The bytes end inside of it.
        case incomplete
        /// No length can be read here, or an absurd one.
        case malformed
    }

    /// The event that begins at `offset`.
    public static func event(at offset: Int, in bytes: UnsafeRawBufferPointer) -> Finding {
        var length: UInt64 = 0
        var place = offset
        var shift: UInt64 = 0
        while place < bytes.count {
            let byte = bytes[place]
            place += 1
            length |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                guard length <= UInt64(Self.maxEventBytes) else { return .malformed }
                return Int(length) <= bytes.count - place ? .event(place..<place + Int(length)) : .incomplete
            }
            shift += 7
            if shift > 28 { return .malformed }
        }
        return .incomplete
    }
}
