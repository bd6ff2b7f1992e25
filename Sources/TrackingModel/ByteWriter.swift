/// Fills a piece of memory from its beginning; going past its end is a programming error and stops the process there.
public struct ByteWriter {
    private let memory: UnsafeMutableRawBufferPointer
    public private(set) var count = 0

    public init(_ memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
    }

    @inline(__always)
    public mutating func put(_ byte: UInt8) {
        precondition(self.count < self.memory.count)
        self.memory[self.count] = byte
        self.count &+= 1
    }

    @inline(__always)
    mutating func put(_ text: MessageID.Text) {
        withUnsafeBytes(of: text.words) { self.put(UnsafeRawBufferPointer(rebasing: $0[..<MessageID.textBytes])) }
    }

    @inline(__always)
    public mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        precondition(bytes.count <= self.memory.count &- self.count)
        // The check above leaves room, so the memory is there.
        self.memory.baseAddress?.advanced(by: self.count).copyMemory(from: source, byteCount: bytes.count)
        self.count &+= bytes.count
    }

    @inline(__always)
    public mutating func put(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { self.put($0) }
    }

    @inline(__always)
    public mutating func put(_ text: StaticString) {
        self.put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// As JSON string content (RFC 8259 section 7), for text that needs escapes.
    public mutating func putEscaped(_ text: Span<UInt8>) {
        for index in text.indices {
            if JSONEscape.isNeeded(text[index]) {
                JSONEscape.write(text[index]) { self.put($0) }
            } else {
                self.put(text[index])
            }
        }
    }

    /// Protocol Buffers' base-128 varint.
    @inline(__always)
    public mutating func put(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            self.put(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.put(UInt8(truncatingIfNeeded: rest))
    }

    /// A length-delimited field; nothing for an empty one, as proto3 has it.
    @inline(__always)
    public mutating func put(field tag: UInt8, _ bytes: Span<UInt8>) {
        guard !bytes.isEmpty else { return }
        self.put(tag)
        self.put(varint: UInt64(bytes.count))
        self.put(bytes)
    }
}
