import NIOCore

/// The elements of one array in a reply.
///
/// Where all of them are bulk strings, as of a hash, they stay places in the reply's bytes, and each becomes a value when it
/// is asked for.
public struct RESPArray: Sendable, RandomAccessCollection {
    private enum Form {
        case values([RESPValue])
        case strings(ByteBuffer, places: [Range<Int>])
    }

    private let form: Form

    public init(_ values: [RESPValue]) {
        self.form = .values(values)
    }

    /// - Parameter places: from the beginning of the readable bytes.
    init(strings: ByteBuffer, at places: [Range<Int>]) {
        self.form = .strings(strings, places: places)
    }

    public var startIndex: Int { 0 }

    public var endIndex: Int {
        switch self.form {
        case .values(let values): values.count
        case .strings(_, let places): places.count
        }
    }

    public subscript(index: Int) -> RESPValue {
        switch self.form {
        case .values(let values):
            return values[index]
        case .strings(let bytes, let places):
            let place = places[index]
            let slice = bytes.getSlice(at: bytes.readerIndex + place.lowerBound, length: place.count)
            return .bulk(slice ?? ByteBuffer())
        }
    }

    /// As ``RESPValue/forEachPair(_:)``.
    func forEachPair<Failure: Error>(
        _ body: (_ field: Span<UInt8>, _ value: Span<UInt8>) throws(Failure) -> Void
    ) throws(Failure) -> Bool {
        guard self.count.isMultiple(of: 2) else { return false }
        switch self.form {
        case .values(let values):
            for index in stride(from: 0, to: values.count, by: 2) {
                guard case .bulk(let field) = values[index], case .bulk(let value) = values[index + 1] else {
                    return false
                }
                try body(field.readableBytesUInt8Span, value.readableBytesUInt8Span)
            }
        case .strings(let strings, let places):
            let bytes = strings.readableBytesUInt8Span
            for index in stride(from: 0, to: places.count, by: 2) {
                try body(bytes.extracting(places[index]), bytes.extracting(places[index + 1]))
            }
        }
        return true
    }
}

extension RESPArray: ExpressibleByArrayLiteral {
    public init(arrayLiteral values: RESPValue...) {
        self.init(values)
    }
}

extension RESPArray: Hashable {
    public static func == (left: Self, right: Self) -> Bool { left.elementsEqual(right) }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.count)
        for value in self { hasher.combine(value) }
    }
}
