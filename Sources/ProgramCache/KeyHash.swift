/// Hashes ids to 32 bits with a function that nobody outside knows.
///
/// Ids come from outside, so the function is drawn at random from a strongly universal family: whoever chooses two ids
/// without having seen the numbers, their hashes are the same with a probability of 2⁻³² (multilinear hashing; Lemire and
/// Kaser, "Strongly universal string hashing is fast", The Computer Journal 57 (2014), section 2). For texts as short as
/// ids this takes a quarter of the library's SipHash.
///
/// A linear function keeps numbers that follow each other at equal distances, which a table with linear probing answers
/// with long searches (Pătraşcu and Thorup, "On the k-independence required by linear probing and minwise independence",
/// 2010, section 2). So the sum is stirred at the end; what differs before does so after it.
struct KeyHash {
    /// The first of the sum, then one for the length, then one for each four bytes of an id of 64.
    private let numbers: ContiguousArray<UInt64>

    init() {
        self.numbers = ContiguousArray((0..<18).map { _ in .random(in: .min ... .max) })
    }

    @inline(__always)
    func callAsFunction(_ key: Span<UInt8>) -> UInt32 {
        let bytes = key.bytes
        var sum = self.numbers[0] &+ self.numbers[1] &* UInt64(bytes.byteCount)
        var index = 0
        while index &+ 8 <= bytes.byteCount {
            sum &+= self.term(index, bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
            index &+= 8
        }
        var rest: UInt64 = 0
        for place in index..<key.count { rest = rest << 8 | UInt64(key[place]) }
        if index < key.count { sum &+= self.term(index, rest) }
        return Self.stirred(UInt32(truncatingIfNeeded: sum >> 32))
    }

    /// Shifts and an odd factor: each step can be undone.
    @inline(__always)
    private static func stirred(_ hash: UInt32) -> UInt32 {
        let product = (hash ^ hash >> 16) &* 0x85eb_ca6b
        return product ^ product >> 13
    }

    /// What eight bytes add. Nothing longer than 64 bytes is an id; its hash would begin again with the first numbers.
    @inline(__always)
    private func term(_ index: Int, _ eight: UInt64) -> UInt64 {
        let place = 2 &+ (index >> 2) & 15
        return self.numbers[place] &* (eight & 0xffff_ffff) &+ self.numbers[place &+ 1] &* (eight >> 32)
    }
}
