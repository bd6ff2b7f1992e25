/// The id of one accepted event: a UUID of version 7 (RFC 9562 section 5.7).
public struct MessageID: Hashable, Sendable {
    public static let textBytes = 36

    let high: UInt64
    let low: UInt64

    /// The 36 characters of the canonical form, lower case, as they lie in memory: the first in the lowest byte.
    struct Text {
        let words: (UInt64, UInt64, UInt64, UInt64, UInt32)
    }

    /// The digits stand in groups of 8, 4, 4, 4 and 12 with a dash between them, which words of eight cut elsewhere.
    var text: Text {
        let (first, second) = Self.hexDigits(SIMD2(self.high >> 32, self.high))
        let (third, fourth) = Self.hexDigits(SIMD2(self.low >> 32, self.low))
        let dash = UInt64(UInt8(ascii: "-"))
        let lower: UInt64 = 0xffff_ffff
        return Text(
            words: (
                first.littleEndian,
                (dash | (second & lower) << 8 | dash << 40 | (second >> 32) << 48).littleEndian,
                (second >> 48 | dash << 16 | (third & lower) << 24 | dash << 56).littleEndian,
                (third >> 32 | fourth << 32).littleEndian,
                UInt32(truncatingIfNeeded: fourth >> 32).littleEndian
            )
        )
    }

    /// The eight digits of the lower 32 bits of both, the first in the lowest byte: all are worked out at once.
    @inline(__always)
    private static func hexDigits(_ values: SIMD2<UInt64>) -> (UInt64, UInt64) {
        var nibbles = values & 0xffff_ffff
        nibbles = (nibbles | nibbles &<< 16) & 0x0000_ffff_0000_ffff
        nibbles = (nibbles | nibbles &<< 8) & 0x00ff_00ff_00ff_00ff
        nibbles = (nibbles | nibbles &<< 4) & 0x0f0f_0f0f_0f0f_0f0f
        // 1 in each byte whose digit is a letter: 6 more make it pass 15. Letters stand 39 = 32 + 8 - 1 behind digits.
        let letters = (nibbles &+ 0x0606_0606_0606_0606) &>> 4 & 0x0101_0101_0101_0101
        let digits = nibbles &+ 0x3030_3030_3030_3030 &+ (letters &<< 5) &+ (letters &<< 3) &- letters
        return (digits[0].byteSwapped, digits[1].byteSwapped)
    }
}

/// Makes message ids on one event loop, without locks and system calls.
///
/// Uniqueness between loops and processes rests on 74 random bits per millisecond; within the generator the ids also
/// ascend: a step back of the wall clock goes on from the last millisecond, and a counter fills `rand_a`
/// (RFC 9562 section 6.2, method 1).
public struct MessageIDGenerator {
    private var random: RandomBits
    private var millisecond: UInt64 = 0
    private var counter: UInt64 = 0

    public init() {
        self.random = RandomBits()
    }

    public mutating func next(at time: Timestamp) -> MessageID {
        let now = UInt64(clamping: time.milliseconds)
        let bits = self.random.next()
        if now > self.millisecond {
            self.millisecond = now
            // Half of the 12 bits at random, so that the counter has room to ascend.
            self.counter = bits >> 53
        } else if self.counter < 0xfff {
            self.counter &+= 1
        } else {
            self.millisecond &+= 1
            self.counter = bits >> 53
        }
        let high = (self.millisecond & 0xffff_ffff_ffff) << 16 | 0x7000 | self.counter
        let low = 0x8000_0000_0000_0000 | (self.random.next() & 0x3fff_ffff_ffff_ffff)
        return MessageID(high: high, low: low)
    }
}

/// xoshiro256++: good bits, not secret ones, without a system call; seeded by the system.
public struct RandomBits: RandomNumberGenerator {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    public init() {
        var system = SystemRandomNumberGenerator()
        self.state = (system.next() | 1, system.next(), system.next(), system.next())
    }

    public mutating func next() -> UInt64 {
        let result = Self.rotate(self.state.0 &+ self.state.3, by: 23) &+ self.state.0
        let shifted = self.state.1 << 17
        self.state.2 ^= self.state.0
        self.state.3 ^= self.state.1
        self.state.1 ^= self.state.2
        self.state.0 ^= self.state.3
        self.state.2 ^= shifted
        self.state.3 = Self.rotate(self.state.3, by: 45)
        return result
    }

    @inline(__always)
    private static func rotate(_ value: UInt64, by bits: UInt64) -> UInt64 {
        value << bits | value >> (64 - bits)
    }
}
