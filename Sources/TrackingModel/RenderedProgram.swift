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
    /// 14. The small ones last: the bytes begin where the header ends.
    private struct Header {
        let validFrom: Int64
        let validUntil: Int64
        /// -1: none; no version is negative.
        let version: Int64
        let rules: ParameterRules?
        let checksumStart: Int32
        let checksumEnd: Int32
        let eventStart: Int32
        let eventFrontEnd: Int32
        let eventMiddleEnd: Int32
        let end: Int32
        let isValid: Bool
        let requiresChecksum: Bool
    }

    private let memory: ManagedBuffer<Header, UInt8>

    public init(_ program: borrowing Program) {
        self.memory = withUnsafeTemporaryAllocation(byteCount: Self.maximumBytes(of: program), alignment: 1) { room in
            var bytes = ByteWriter(room)
            let header = Self.put(program, to: &bytes)
            let memory = ManagedBuffer<Header, UInt8>.create(minimumCapacity: bytes.count) { _ in header }
            memory.withUnsafeMutablePointerToElements { place in
                UnsafeMutableRawBufferPointer(start: place, count: bytes.count).copyMemory(from: bytes.written)
            }
            return memory
        }
    }

    /// Every text is in the answer, where an escape takes six bytes, and in the event; the rest is names, numbers and lengths.
    private static func maximumBytes(of program: borrowing Program) -> Int {
        256 + 7 * (program.id.text.utf8.count + program.name.utf8.count)
            + 7 * (program.checksum.utf8.count + program.customerName.utf8.count)
    }

    private static func put(_ program: borrowing Program, to bytes: inout ByteWriter) -> Header {
        self.putAnswerMembers(of: program, to: &bytes)
        let eventStart = bytes.count
        bytes.put(field: 0x0a, program.id.text.utf8.span)
        bytes.put(field: 0x12, program.checksum.utf8.span)
        let checksumEnd = bytes.count
        // int32 is sign-extended to 64 bits on the wire.
        if program.customerID != 0 { bytes.put(field: 0x18, varint: UInt64(bitPattern: Int64(program.customerID))) }
        let eventFrontEnd = bytes.count
        bytes.put(field: 0x2a, program.name.utf8.span)
        bytes.put(field: 0x32, program.customerName.utf8.span)
        // Only a valid program has events.
        bytes.put(field: 0x38, varint: 1)
        let eventMiddleEnd = bytes.count
        if let version = program.version, version > 0 { bytes.put(field: 0x70, varint: UInt64(version)) }
        return Header(
            validFrom: program.validFrom?.milliseconds ?? .min,
            validUntil: program.validUntil?.milliseconds ?? .max,
            version: program.version ?? -1,
            rules: program.parameters,
            checksumStart: Int32(checksumEnd - program.checksum.utf8.count),
            checksumEnd: Int32(checksumEnd),
            eventStart: Int32(eventStart),
            eventFrontEnd: Int32(eventFrontEnd),
            eventMiddleEnd: Int32(eventMiddleEnd),
            end: Int32(bytes.count),
            isValid: program.isValid,
            requiresChecksum: program.requiresChecksum
        )
    }

    private static func putAnswerMembers(of program: borrowing Program, to bytes: inout ByteWriter) {
        bytes.put("\"programId\":")
        bytes.put(json: program.id.text)
        bytes.put(",\"programName\":")
        bytes.put(json: program.name)
        bytes.put(",\"checksum\":")
        bytes.put(json: program.checksum)
        bytes.put(",\"customerId\":")
        bytes.put(String(program.customerID).utf8.span)
        bytes.put(",\"customerName\":")
        bytes.put(json: program.customerName)
    }

    public var terms: Terms {
        let header = self.memory.header
        return Terms(
            isValid: header.isValid,
            requiresChecksum: header.requiresChecksum,
            validFrom: header.validFrom,
            validUntil: header.validUntil
        )
    }
    public var version: Int64? { self.memory.header.version < 0 ? nil : self.memory.header.version }
    public var rules: ParameterRules? { self.memory.header.rules }

    /// The id stands first in the event: one tag and one length byte before it, as it has at most 64 bytes.
    public var id: Span<UInt8> {
        @_lifetime(borrow self)
        @inline(__always)
        get {
            let start = self.memory.header.eventStart + 2
            return self.bytes(start, start + Int32(self.bytes(start - 1, start)[0]))
        }
    }

    var answerMemberBytes: Int { Int(self.memory.header.eventStart) }
    var eventBytes: Int { Int(self.memory.header.end - self.memory.header.eventStart) }

    /// From `"programId"` to the value of `"customerName"`, in the answer's order.
    var answerMembers: Span<UInt8> {
        @_lifetime(borrow self)
        @inline(__always)
        get { self.bytes(0, self.memory.header.eventStart) }
    }
    /// Fields 1 to 3 of the event.
    var eventFront: Span<UInt8> {
        @_lifetime(borrow self)
        @inline(__always)
        get { self.bytes(self.memory.header.eventStart, self.memory.header.eventFrontEnd) }
    }
    /// Fields 5 to 7.
    var eventMiddle: Span<UInt8> {
        @_lifetime(borrow self)
        @inline(__always)
        get { self.bytes(self.memory.header.eventFrontEnd, self.memory.header.eventMiddleEnd) }
    }
    /// Field 14.
    var eventEnd: Span<UInt8> {
        @_lifetime(borrow self)
        @inline(__always)
        get { self.bytes(self.memory.header.eventMiddleEnd, self.memory.header.end) }
    }

    /// In constant time over the bytes, so that the answer's delay tells nothing about them.
    func hasChecksum(_ checksum: ArraySlice<UInt8>) -> Bool {
        let own = self.bytes(self.memory.header.checksumStart, self.memory.header.checksumEnd)
        let given = checksum.span
        guard own.count == given.count else { return false }
        var difference: UInt8 = 0
        for index in own.indices { difference |= own[index] ^ given[index] }
        return difference == 0
    }

    /// The memory lives as long as the program, and its bytes never change.
    @_lifetime(borrow self)
    @inline(__always)
    private func bytes(_ start: Int32, _ end: Int32) -> Span<UInt8> {
        let bytes = self.memory.withUnsafeMutablePointerToElements { all in
            UnsafeBufferPointer(start: all + Int(start), count: Int(end - start))
        }
        return _overrideLifetime(bytes.span, borrowing: self)
    }
}

@available(*, unavailable)
extension RenderedProgram: Sendable {}
