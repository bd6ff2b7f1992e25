/// Fills a piece of memory from its beginning; going past its end is a programming error and stops the process there.
public struct ByteWriter {
    @usableFromInline let memory: UnsafeMutableRawBufferPointer
    @usableFromInline var end = 0

    /// Bytes put so far.
    @inlinable public var count: Int { self.end }

    @inlinable
    public init(_ memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
    }

    @inlinable @inline(__always)
    public mutating func put(_ byte: UInt8) {
        precondition(self.end < self.memory.count)
        self.memory[self.end] = byte
        self.end &+= 1
    }

    @inline(__always)
    mutating func put(_ text: MessageID.Text) {
        withUnsafeBytes(of: text.words) { self.put(UnsafeRawBufferPointer(rebasing: $0[..<MessageID.textBytes])) }
    }

    @inlinable @inline(__always)
    public mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        precondition(bytes.count <= self.memory.count &- self.end)
        // The check above leaves room, so the memory is there.
        self.memory.baseAddress?.advanced(by: self.end).copyMemory(from: source, byteCount: bytes.count)
        self.end &+= bytes.count
    }

    @inlinable @inline(__always)
    public mutating func put(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { self.put($0) }
    }

    @inlinable @inline(__always)
    public mutating func put(_ text: StaticString) {
        self.put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// What was put so far.
    var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self.memory[..<self.count]) }

    /// A JSON string.
    mutating func put(json text: String) {
        self.put(UInt8(ascii: "\""))
        self.putEscaped(text.utf8.span)
        self.put(UInt8(ascii: "\""))
    }

    /// As JSON string content (RFC 8259 section 7).
    public mutating func putEscaped(_ text: Span<UInt8>) {
        JSONEscape.write(text) { self.put($0) }
    }

    /// Protocol Buffers' base-128 varint.
    @inlinable @inline(__always)
    public mutating func put(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            self.put(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.put(UInt8(truncatingIfNeeded: rest))
    }

    /// A length-delimited field; nothing for an empty one, as proto3 has it.
    @inlinable @inline(__always)
    public mutating func put(field tag: UInt8, _ bytes: Span<UInt8>) {
        guard !bytes.isEmpty else { return }
        self.put(field: tag, varint: UInt64(bytes.count))
        self.put(bytes)
    }

    @inlinable @inline(__always)
    public mutating func put(field tag: UInt8, varint value: UInt64) {
        self.put(tag)
        self.put(varint: value)
    }
}
