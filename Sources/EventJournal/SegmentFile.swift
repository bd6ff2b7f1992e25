/// The names in a journal directory.
struct JournalPaths: Sendable {
    var directory: String

    var quarantine: String { self.directory + "/quarantine" }
    var end: String { self.directory + "/end" }

    func segment(_ id: UInt64) -> String { "\(self.directory)/\(Self.digits(id)).seg" }
    func spare(_ id: UInt64) -> String { "\(self.directory)/\(Self.digits(id)).spare" }
    func unfinished(_ id: UInt64) -> String { "\(self.directory)/\(Self.digits(id)).tmp" }

    /// The sink's name as far as a file name can say it, and its checksum, so that two sinks never share a cursor.
    func cursor(_ sink: String, _ turn: Int) -> String {
        let plain = sink.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                return byte
            default:
                return UInt8(ascii: "_")
            }
        }
        var sum = String(Checksum.of(sink.utf8), radix: 16)
        sum = String(repeating: "0", count: 8 - sum.count) + sum
        return "\(self.directory)/\(String(decoding: plain.suffix(64), as: UTF8.self))-\(sum).cursor\(turn)"
    }

    static func digits(_ id: UInt64) -> String {
        let text = String(id)
        return String(repeating: "0", count: 20 - text.count) + text
    }

    static func id(of name: String, suffix: String) -> UInt64? {
        guard name.hasSuffix(suffix), name.utf8.count == 20 + suffix.utf8.count else { return nil }
        return UInt64(name.dropLast(suffix.count))
    }
}

/// What the two header blocks of a segment file say together.
struct SegmentFile {
    enum Finding {
        case header(SegmentHeader)
        /// Neither copy can be read, or they belong to an earlier use of the file.
        case none
        case newer(UInt16)
    }

    var file: any JournalFile
    var id: UInt64
    var bytes: Int
    var finding: Finding
    /// Whether the last block is a copy of this segment's header.
    private var endsWithCopy: Bool

    /// Where frames end: before the copy of the header, or where the file was torn off.
    var limit: Int {
        guard case .header(let header) = self.finding else { return self.bytes }
        let end = self.endsWithCopy ? self.bytes - JournalFormat.block : self.bytes
        return min(end, header.segmentBytes - JournalFormat.block)
    }

    init(_ file: any JournalFile, id: UInt64) {
        self.file = file
        self.id = id
        self.bytes = (try? file.size()) ?? 0
        let first = Self.header(in: file, at: 0)
        let last =
            self.bytes >= 2 * JournalFormat.block
            ? Self.header(in: file, at: self.bytes - JournalFormat.block) : .damaged
        self.finding = Self.judge(first, last, id: id)
        if case .valid(let header) = last { self.endsWithCopy = header.id == id } else { self.endsWithCopy = false }
    }

    private static func judge(
        _ first: SegmentHeader.Finding,
        _ last: SegmentHeader.Finding,
        id: UInt64
    ) -> Finding {
        if case .valid(let header) = first, header.id == id { return .header(header) }
        if case .newer(let version) = first { return .newer(version) }
        if case .valid(let header) = last, header.id == id { return .header(header) }
        return .none
    }

    private static func header(in file: any JournalFile, at offset: Int) -> SegmentHeader.Finding {
        withUnsafeTemporaryAllocation(byteCount: JournalFormat.headerBytes, alignment: 8) { place in
            guard let got = try? file.read(into: place, at: offset), got == place.count, let base = place.baseAddress
            else { return .damaged }
            return SegmentHeader.read(from: base)
        }
    }
}

extension JournalFile {
    /// Puts a 64-byte structure at each of the offsets.
    func writeHeader(at offsets: [Int], _ fill: (UnsafeMutableRawPointer) -> Void) throws(IOFailure) {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: JournalFormat.headerBytes, alignment: 8)
        defer { block.deallocate() }
        guard let base = block.baseAddress else { return }
        fill(base)
        for offset in offsets { try self.write([UnsafeRawBufferPointer(block)], at: offset) }
    }

    func readNote(magic: UInt64) -> JournalNote? {
        withUnsafeTemporaryAllocation(byteCount: JournalFormat.headerBytes, alignment: 8) { place in
            guard let got = try? self.read(into: place, at: 0), got == place.count, let base = place.baseAddress
            else { return nil }
            return JournalNote.read(from: base, magic: magic)
        }
    }
}
