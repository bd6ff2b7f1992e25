/// A message as the blocks that a digest takes: MD5 (RFC 1321 sections 3.1 and 3.2) and SHA-256 (FIPS 180-4 section 5.1.1) pad
/// it with one bit, zeros and its length in bits, and differ in the order of the length's bytes.
enum DigestBlocks {
    enum LengthOrder {
        case lowestFirst
        case highestFirst
    }

    static let bytes = 64

    @inline(__always)
    static func each(
        of message: UnsafeRawBufferPointer,
        length order: LengthOrder,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        let whole = message.count & ~(self.bytes - 1)
        for start in stride(from: 0, to: whole, by: self.bytes) {
            body(UnsafeRawBufferPointer(rebasing: message[start..<(start + self.bytes)]))
        }
        // One or two blocks.
        self.padded(message[whole...], of: message.count, order).withUnsafeBytes { rest in
            for start in stride(from: 0, to: rest.count, by: self.bytes) {
                body(UnsafeRawBufferPointer(rebasing: rest[start..<(start + self.bytes)]))
            }
        }
    }

    private static func padded(_ rest: Slice<UnsafeRawBufferPointer>, of count: Int, _ order: LengthOrder) -> [UInt8] {
        var bytes = Array(rest) + [0x80]
        bytes += repeatElement(0, count: (120 - bytes.count) % self.bytes)
        let bits = UInt64(count) &* 8
        withUnsafeBytes(of: order == .lowestFirst ? bits.littleEndian : bits.bigEndian) { bytes += $0 }
        return bytes
    }
}
