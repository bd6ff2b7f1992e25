import CChecksum

/// CRC-32C of Swift values.
enum Checksum {
    static func of(_ bytes: some Sequence<UInt8>, seed: UInt32 = 0) -> UInt32 {
        Array(bytes).withUnsafeBytes { crc32c(seed, $0.baseAddress, $0.count) }
    }
}
