/// RFC 4648 section 4, with padding: how the APIs carry bytes in JSON.
enum Base64 {
    private static let alphabet: [UInt8] = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )
    /// The value of each byte of the alphabet, 255 for all others.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, byte) in Self.alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }()

    static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }

    /// The two digits of each twelve bits, the first in the lower byte: half as many steps as digit by digit.
    private static let pairs: [UInt16] = (0..<4096).map {
        UInt16(Self.alphabet[$0 >> 6]) | UInt16(Self.alphabet[$0 & 63]) << 8
    }

    /// - Parameter target: has room for ``encodedCount(_:)`` bytes.
    static func encode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer) {
        guard let bytes = source.baseAddress else { return }
        let whole = source.count / 3 * 3
        self.pairs.withUnsafeBufferPointer { pairs in
            guard let pairs = pairs.baseAddress else { return }
            var write = target
            var read = bytes
            let end = bytes + whole
            while read < end {
                let group =
                    Int(read.load(as: UInt8.self)) << 16 | Int(read.load(fromByteOffset: 1, as: UInt8.self)) << 8
                    | Int(read.load(fromByteOffset: 2, as: UInt8.self))
                write.storeBytes(of: pairs[group >> 12].littleEndian, as: UInt16.self)
                write.storeBytes(of: pairs[group & 0xfff].littleEndian, toByteOffset: 2, as: UInt16.self)
                read += 3
                write += 4
            }
        }
        self.encodeEnd(UnsafeRawBufferPointer(rebasing: source[whole...]), into: target + whole / 3 * 4)
    }

    /// The last one or two bytes, padded.
    private static func encodeEnd(_ rest: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer) {
        guard let first = rest.first else { return }
        let second = rest.count > 1 ? rest[1] : 0
        let third = rest.count > 1 ? self.alphabet[Int((second & 15) << 2)] : UInt8(ascii: "=")
        target.storeBytes(of: self.alphabet[Int(first >> 2)], as: UInt8.self)
        target.storeBytes(of: self.alphabet[Int((first & 3) << 4 | second >> 4)], toByteOffset: 1, as: UInt8.self)
        target.storeBytes(of: third, toByteOffset: 2, as: UInt8.self)
        target.storeBytes(of: UInt8(ascii: "="), toByteOffset: 3, as: UInt8.self)
    }

    /// - Returns: nil for what no encoder writes: a wrong length, a foreign byte, bits set in the padding.
    static func decode(_ text: some RandomAccessCollection<UInt8>) -> [UInt8]? {
        let decoded = text.withContiguousStorageIfAvailable { self.decode($0) }
        return decoded ?? Array(text).withUnsafeBufferPointer { self.decode($0) }
    }

    private static func decode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var digits = text[...]
        while digits.last == UInt8(ascii: "="), text.count - digits.count < 2 { digits.removeLast() }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 4 * 3 + 2)
        var pending: UInt32 = 0
        var bits = 0
        for digit in digits {
            let value = self.values[Int(digit)]
            guard value < 64 else { return nil }
            pending = pending << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: pending >> UInt32(bits)))
                pending &= 1 << UInt32(bits) - 1
            }
        }
        return pending == 0 ? bytes : nil
    }
}
