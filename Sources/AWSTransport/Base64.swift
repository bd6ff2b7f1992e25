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

    /// - Parameter target: has room for ``encodedCount(_:)`` bytes.
    static func encode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer) {
        self.alphabet.withUnsafeBufferPointer { alphabet in
            guard let digits = alphabet.baseAddress, let bytes = source.baseAddress else { return }
            var read = 0
            var write = target.assumingMemoryBound(to: UInt8.self)
            while read + 3 <= source.count {
                let group =
                    UInt32(bytes.load(fromByteOffset: read, as: UInt8.self)) << 16
                    | UInt32(bytes.load(fromByteOffset: read + 1, as: UInt8.self)) << 8
                    | UInt32(bytes.load(fromByteOffset: read + 2, as: UInt8.self))
                write[0] = digits[Int(group >> 18)]
                write[1] = digits[Int(group >> 12 & 63)]
                write[2] = digits[Int(group >> 6 & 63)]
                write[3] = digits[Int(group & 63)]
                read += 3
                write += 4
            }
            self.encodeEnd(UnsafeRawBufferPointer(rebasing: source[read...]), digits, into: write)
        }
    }

    /// The last one or two bytes, padded.
    private static func encodeEnd(
        _ rest: UnsafeRawBufferPointer,
        _ digits: UnsafePointer<UInt8>,
        into write: UnsafeMutablePointer<UInt8>
    ) {
        guard let first = rest.first else { return }
        let second = rest.count > 1 ? rest[1] : 0
        write[0] = digits[Int(first >> 2)]
        write[1] = digits[Int((first & 3) << 4 | second >> 4)]
        write[2] = rest.count > 1 ? digits[Int((second & 15) << 2)] : UInt8(ascii: "=")
        write[3] = UInt8(ascii: "=")
    }

    /// - Returns: nil for what an encoder would not have written: a wrong length, a foreign byte, bits set in the padding.
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
