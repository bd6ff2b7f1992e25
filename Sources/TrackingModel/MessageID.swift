/// The id of one accepted event: a UUID of version 7 (RFC 9562 section 5.7).
public struct MessageID: Hashable, Sendable {
    public static let textBytes = 36

    let high: UInt64
    let low: UInt64

    /// Writes the 36 characters of the canonical form, lower case.
    func write(to bytes: inout ByteWriter) {
        var shift: UInt64 = 64
        for index in 0..<16 {
            if index == 4 || index == 6 || index == 8 || index == 10 { bytes.put(UInt8(ascii: "-")) }
            if index == 8 { shift = 64 }
            shift -= 8
            let byte = UInt8(truncatingIfNeeded: (index < 8 ? self.high : self.low) >> shift)
            bytes.put(Self.hexDigit(byte >> 4))
            bytes.put(Self.hexDigit(byte & 15))
        }
    }

    @inline(__always)
    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value &+ (value < 10 ? 48 : 87)
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

/// xoshiro256++: uniqueness needs good bits, not secret ones; seeded by the system.
struct RandomBits: RandomNumberGenerator {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init() {
        var system = SystemRandomNumberGenerator()
        self.state = (system.next() | 1, system.next(), system.next(), system.next())
    }

    mutating func next() -> UInt64 {
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
