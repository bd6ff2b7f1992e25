/// The characters of HTTP's grammar (RFC 9110 section 5.6, RFC 5234 appendix B).
extension UInt8 {
    static var tab: UInt8 { 0x09 }
    static var lineFeed: UInt8 { 0x0a }
    static var carriageReturn: UInt8 { 0x0d }
    static var space: UInt8 { 0x20 }
    static var delete: UInt8 { 0x7f }

    @inline(__always)
    var isBlank: Bool { self == .space || self == .tab }

    @inline(__always)
    var isDigit: Bool { self &- UInt8(ascii: "0") < 10 }

    /// `tchar`: letters, digits and ``!#$%&'*+-.^_`|~``, as two words of bits.
    @inline(__always)
    var isTokenCharacter: Bool {
        if self < 64 { return (0x03ff_6cfa_0000_0000 as UInt64 >> UInt64(self)) & 1 == 1 }
        return self < 128 && (0x57ff_ffff_c7ff_fffe as UInt64 >> UInt64(self &- 64)) & 1 == 1
    }

    /// What is printable ASCII and none of ``"#,/<>?@\^`{|}``, as two words of bits.
    @inline(__always)
    var isHostCharacter: Bool {
        if self < 64 { return (0x2fff_6ff2_0000_0000 as UInt64 >> UInt64(self)) & 1 == 1 }
        return self < 128 && (0x47ff_fffe_afff_fffe as UInt64 >> UInt64(self &- 64)) & 1 == 1
    }

    /// Where a target's reader has to look closer: what ends it, and `#`, `%`, `?`, as a word of bits.
    @inline(__always)
    var isTargetMark: Bool {
        if self < 64 { return (0x8000_0029_ffff_ffff as UInt64 >> UInt64(self)) & 1 == 1 }
        return self == .delete
    }

    @inline(__always)
    var lowercased: UInt8 { self &- UInt8(ascii: "A") < 26 ? self | 0x20 : self }
}

extension Span where Element == UInt8 {
    @inline(__always)
    func equals(_ text: StaticString) -> Bool {
        guard self.count == text.utf8CodeUnitCount else { return false }
        for index in self.indices where self[index] != text.utf8Start[index] { return false }
        return true
    }

    /// - Parameter text: in lower case.
    @inline(__always)
    func equalsIgnoringCase(_ text: StaticString) -> Bool {
        self.count == text.utf8CodeUnitCount && self.startsIgnoringCase(text)
    }

    @inline(__always)
    func startsIgnoringCase(_ text: StaticString) -> Bool {
        guard self.count >= text.utf8CodeUnitCount else { return false }
        for index in 0..<text.utf8CodeUnitCount where self[index].lowercased != text.utf8Start[index] { return false }
        return true
    }

    /// The first byte below 0x20 or 0x7f; the end where there is none. Eight bytes at a time.
    func firstControl(from start: Int) -> Int {
        self.withUnsafeBytes { bytes in
            var index = start
            while index &+ 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                let ones: UInt64 = 0x0101_0101_0101_0101
                let delete = word ^ (ones &* 0x7f)
                let found = ((word &- ones &* 0x20) & ~word) | ((delete &- ones) & ~delete)
                if found & 0x8080_8080_8080_8080 != 0 { break }
                index &+= 8
            }
            // The word may have been stopped at for a byte's carry into the next, so look at each.
            while index < bytes.count, bytes[index] >= 0x20, bytes[index] != 0x7f { index &+= 1 }
            return index
        }
    }

    /// `uri-host [ ":" port ]` (RFC 9110 section 7.2) as far as it matters: of the characters of a URI (RFC 3986 section
    /// 2), nothing that would end an authority, and no comma, which would make two of one. Empty is a host, too.
    var isHost: Bool {
        for index in self.indices where !self[index].isHostCharacter { return false }
        return true
    }
}
