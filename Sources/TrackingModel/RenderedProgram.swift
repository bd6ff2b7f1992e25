/// A program as one event loop's memory holds it: what decides about a request, and its part of every answer and event
/// already in bytes.
///
/// Not Sendable on purpose: each loop renders its own, so that no reference count is shared between cores.
public final class RenderedProgram {
    public struct Terms {
        public let isValid: Bool
        public let requiresChecksum: Bool
        /// Milliseconds since the epoch; open ends are the ends of the range.
        public let validFrom: Int64
        public let validUntil: Int64
    }

    public let terms: Terms
    public let version: Int64?
    public let rules: ParameterRules?
    private let checksumRange: Range<Int32>
    private let eventFrontEnd: Int32
    private let eventMiddleEnd: Int32
    /// The answer's members, then three parts of the event: fields 1 to 3, 5 to 7, 14.
    private let eventStart: Int32
    private let bytes: [UInt8]

    public init(_ program: Program) {
        self.terms = Terms(
            isValid: program.isValid,
            requiresChecksum: program.requiresChecksum,
            validFrom: program.validFrom?.milliseconds ?? .min,
            validUntil: program.validUntil?.milliseconds ?? .max
        )
        self.version = program.version
        self.rules = program.parameters
        var bytes = Self.answerMembers(of: program)
        self.eventStart = Int32(bytes.count)
        Self.put(field: 0x0a, program.id.text, to: &bytes)
        let checksumEnd = Self.put(field: 0x12, program.checksum, to: &bytes)
        self.checksumRange = Int32(checksumEnd - program.checksum.utf8.count)..<Int32(checksumEnd)
        if program.customerID != 0 {
            // int32 is sign-extended to 64 bits on the wire.
            Self.put(varint: 0x18, UInt64(bitPattern: Int64(program.customerID)), to: &bytes)
        }
        self.eventFrontEnd = Int32(bytes.count)
        Self.put(field: 0x2a, program.name, to: &bytes)
        Self.put(field: 0x32, program.customerName, to: &bytes)
        // Only a valid program has events.
        Self.put(varint: 0x38, 1, to: &bytes)
        self.eventMiddleEnd = Int32(bytes.count)
        if let version = program.version, version > 0 { Self.put(varint: 0x70, UInt64(version), to: &bytes) }
        self.bytes = bytes
    }

    /// The id stands first in the event: one tag and one length byte before it, as it has at most 64 bytes.
    private var idStart: Int { Int(self.eventStart) + 2 }
    private var idCount: Int { Int(self.bytes[Int(self.eventStart) + 1]) }

    public func hashID(into hasher: inout Hasher) {
        let start = self.idStart
        let end = start + self.idCount
        self.bytes.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
    }

    @inline(__always)
    public func hasID(_ id: Span<UInt8>) -> Bool {
        guard id.count == self.idCount else { return false }
        let start = self.idStart
        for index in id.indices where id[index] != self.bytes[start &+ index] { return false }
        return true
    }

    var answerMemberBytes: Int { Int(self.eventStart) }
    var eventBytes: Int { self.bytes.count - Int(self.eventStart) }

    /// From `"programId"` to the value of `"customerName"`, in the answer's order.
    func putAnswerMembers(to bytes: inout ByteWriter) { self.put(0, self.eventStart, to: &bytes) }
    /// Fields 1 to 3 of the event.
    func putEventFront(to bytes: inout ByteWriter) { self.put(self.eventStart, self.eventFrontEnd, to: &bytes) }
    /// Fields 5 to 7.
    func putEventMiddle(to bytes: inout ByteWriter) { self.put(self.eventFrontEnd, self.eventMiddleEnd, to: &bytes) }
    /// Field 14.
    func putEventEnd(to bytes: inout ByteWriter) { self.put(self.eventMiddleEnd, Int32(self.bytes.count), to: &bytes) }

    @inline(__always)
    private func put(_ start: Int32, _ end: Int32, to writer: inout ByteWriter) {
        self.bytes.withUnsafeBytes { writer.put(UnsafeRawBufferPointer(rebasing: $0[Int(start)..<Int(end)])) }
    }

    /// In constant time over the bytes, so that the answer's delay tells nothing about them.
    func hasChecksum(_ checksum: ArraySlice<UInt8>) -> Bool {
        let own = self.bytes[Int(self.checksumRange.lowerBound)..<Int(self.checksumRange.upperBound)]
        guard own.count == checksum.count else { return false }
        return zip(own, checksum).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private static func answerMembers(of program: Program) -> [UInt8] {
        var text = JSONText()
        text.field("programId", program.id.text)
        text.field("programName", program.name)
        text.field("checksum", program.checksum)
        text.field("customerId", Int64(program.customerID))
        text.field("customerName", program.customerName)
        return text.bytes
    }

    @discardableResult
    private static func put(field tag: UInt8, _ text: String, to bytes: inout [UInt8]) -> Int {
        guard !text.isEmpty else { return bytes.count }
        self.put(varint: tag, UInt64(text.utf8.count), to: &bytes)
        bytes += text.utf8
        return bytes.count
    }

    private static func put(varint tag: UInt8, _ value: UInt64, to bytes: inout [UInt8]) {
        bytes.append(tag)
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
