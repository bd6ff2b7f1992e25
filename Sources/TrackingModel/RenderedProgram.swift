/// A program as one event loop's memory holds it: what decides about a request, and its part of every answer and event
/// already in bytes, in one allocation of just its size.
///
/// Not Sendable on purpose: each loop renders its own, so that no reference count is shared between cores.
public struct RenderedProgram {
    public struct Terms {
        public let isValid: Bool
        public let requiresChecksum: Bool
        /// Milliseconds since the epoch; open ends are the ends of the range.
        public let validFrom: Int64
        public let validUntil: Int64
    }

    /// What stands before the bytes. Those are the answer's members, then three parts of the event: fields 1 to 3, 5 to 7,
    /// 14.
    private struct Header {
        let terms: Terms
        /// -1: none; no version is negative.
        let version: Int64
        let rules: ParameterRules?
        let checksumStart: Int32
        let checksumEnd: Int32
        let eventStart: Int32
        let eventFrontEnd: Int32
        let eventMiddleEnd: Int32
        let end: Int32
    }

    private let memory: ManagedBuffer<Header, UInt8>

    public init(_ program: Program) {
        var bytes = Self.answerMembers(of: program)
        let eventStart = Int32(bytes.count)
        Self.put(field: 0x0a, program.id.text, to: &bytes)
        let checksumEnd = Self.put(field: 0x12, program.checksum, to: &bytes)
        if program.customerID != 0 {
            // int32 is sign-extended to 64 bits on the wire.
            Self.put(varint: 0x18, UInt64(bitPattern: Int64(program.customerID)), to: &bytes)
        }
        let eventFrontEnd = Int32(bytes.count)
        Self.put(field: 0x2a, program.name, to: &bytes)
        Self.put(field: 0x32, program.customerName, to: &bytes)
        // Only a valid program has events.
        Self.put(varint: 0x38, 1, to: &bytes)
        let eventMiddleEnd = Int32(bytes.count)
        if let version = program.version, version > 0 { Self.put(varint: 0x70, UInt64(version), to: &bytes) }
        let header = Header(
            terms: Terms(
                isValid: program.isValid,
                requiresChecksum: program.requiresChecksum,
                validFrom: program.validFrom?.milliseconds ?? .min,
                validUntil: program.validUntil?.milliseconds ?? .max
            ),
            version: program.version ?? -1,
            rules: program.parameters,
            checksumStart: Int32(checksumEnd - program.checksum.utf8.count),
            checksumEnd: Int32(checksumEnd),
            eventStart: eventStart,
            eventFrontEnd: eventFrontEnd,
            eventMiddleEnd: eventMiddleEnd,
            end: Int32(bytes.count)
        )
        self.memory = ManagedBuffer<Header, UInt8>.create(minimumCapacity: bytes.count) { _ in header }
        self.memory.withUnsafeMutablePointerToElements { place in
            bytes.withUnsafeBufferPointer { source in
                if let start = source.baseAddress { place.initialize(from: start, count: source.count) }
            }
        }
    }

    public var terms: Terms { self.memory.header.terms }
    public var version: Int64? { self.memory.header.version < 0 ? nil : self.memory.header.version }
    public var rules: ParameterRules? { self.memory.header.rules }

    @inline(__always)
    private func withBytes<R>(_ body: (borrowing Header, UnsafePointer<UInt8>) -> R) -> R {
        self.memory.withUnsafeMutablePointers { header, bytes in body(header.pointee, UnsafePointer(bytes)) }
    }

    /// The id stands first in the event: one tag and one length byte before it, as it has at most 64 bytes.
    @inline(__always)
    private func withID<R>(_ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        self.withBytes { header, bytes in
            let event = bytes + Int(header.eventStart)
            return body(UnsafeBufferPointer(start: event + 2, count: Int(event[1])))
        }
    }

    public func hashID(into hasher: inout Hasher) {
        self.withID { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    public func hasID(_ id: Span<UInt8>) -> Bool {
        self.withID { own in
            guard id.count == own.count else { return false }
            for index in id.indices where id[index] != own[index] { return false }
            return true
        }
    }

    var answerMemberBytes: Int { Int(self.memory.header.eventStart) }
    var eventBytes: Int { Int(self.memory.header.end - self.memory.header.eventStart) }

    /// From `"programId"` to the value of `"customerName"`, in the answer's order.
    func putAnswerMembers(to bytes: inout ByteWriter) {
        self.withBytes { Self.put($1, 0, $0.eventStart, to: &bytes) }
    }
    /// Fields 1 to 3 of the event.
    func putEventFront(to bytes: inout ByteWriter) {
        self.withBytes { Self.put($1, $0.eventStart, $0.eventFrontEnd, to: &bytes) }
    }
    /// Fields 5 to 7.
    func putEventMiddle(to bytes: inout ByteWriter) {
        self.withBytes { Self.put($1, $0.eventFrontEnd, $0.eventMiddleEnd, to: &bytes) }
    }
    /// Field 14.
    func putEventEnd(to bytes: inout ByteWriter) {
        self.withBytes { Self.put($1, $0.eventMiddleEnd, $0.end, to: &bytes) }
    }

    @inline(__always)
    private static func put(_ bytes: UnsafePointer<UInt8>, _ start: Int32, _ end: Int32, to writer: inout ByteWriter) {
        writer.put(UnsafeRawBufferPointer(start: bytes + Int(start), count: Int(end - start)))
    }

    /// In constant time over the bytes, so that the answer's delay tells nothing about them.
    func hasChecksum(_ checksum: ArraySlice<UInt8>) -> Bool {
        self.withBytes { header, bytes in
            let own = UnsafeBufferPointer(
                start: bytes + Int(header.checksumStart),
                count: Int(header.checksumEnd - header.checksumStart)
            )
            guard own.count == checksum.count else { return false }
            return zip(own, checksum).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
        }
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

@available(*, unavailable)
extension RenderedProgram: Sendable {}
