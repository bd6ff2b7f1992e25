/// Records that a producer put together into one (Kinesis Producer Library, "KPL Aggregated Record Format").
///
///     F3 89 9A C2 | protobuf AggregatedRecord | 16 bytes of MD5
///
/// The checksum is not looked at: no event begins with these four bytes, and what is no such protobuf is not taken apart.
public enum KinesisAggregate {
    private static let magic: [UInt8] = [0xF3, 0x89, 0x9A, 0xC2]
    private static let checksumBytes = 16

    /// What a reader makes of a record's data: the record itself, or each that was put into it as `ORIGIN#INDEX`.
    ///
    /// - Parameter arrived: milliseconds since the epoch.
    public static func parts(of data: [UInt8], origin: String, arrived: Int64?) -> [StreamRecord] {
        guard let parts = Self.records(in: data) else {
            return [StreamRecord(origin: origin, bytes: data, arrived: arrived)]
        }
        return parts.enumerated().map { index, part in
            StreamRecord(origin: "\(origin)#\(index)", bytes: part, arrived: arrived)
        }
    }

    /// - Returns: the records in their order; nil where the bytes are one record as they are.
    static func records(in bytes: [UInt8]) -> [[UInt8]]? {
        guard bytes.count > Self.magic.count + Self.checksumBytes, bytes.starts(with: Self.magic) else { return nil }
        var message = FieldReader(bytes[Self.magic.count..<(bytes.count - Self.checksumBytes)])
        var records: [[UInt8]] = []
        while let field = message.next() {
            // repeated Record records = 3; its data is field 3 too.
            guard field.number == 3 else { continue }
            guard let content = field.content else { return nil }
            var record = FieldReader(content)
            var data: [UInt8]?
            while let part = record.next() { if part.number == 3 { data = part.content.map { Array($0) } } }
            guard record.isAtEnd, let data else { return nil }
            records.append(data)
        }
        return message.isAtEnd && !records.isEmpty ? records : nil
    }
}

/// Field after field of a protobuf message, of the wire types that are in use: varint, 64 bits, bytes, 32 bits.
private struct FieldReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

    var isAtEnd: Bool { self.rest.isEmpty }

    /// - Returns: nil at the end, and where no field can be read.
    mutating func next() -> (number: UInt64, content: ArraySlice<UInt8>?)? {
        var place = self.rest
        guard let tag = Self.varint(&place), tag >> 3 > 0 else { return nil }
        var content: ArraySlice<UInt8>?
        switch tag & 7 {
        case 0: guard Self.varint(&place) != nil else { return nil }
        case 1, 5:
            let count = tag & 7 == 1 ? 8 : 4
            guard place.count >= count else { return nil }
            place = place.dropFirst(count)
        case 2:
            guard let length = Self.varint(&place), length <= UInt64(place.count) else { return nil }
            content = place.prefix(Int(length))
            place = place.dropFirst(Int(length))
        default: return nil
        }
        self.rest = place
        return (tag >> 3, content)
    }

    private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = bytes.popFirst() else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }
}
