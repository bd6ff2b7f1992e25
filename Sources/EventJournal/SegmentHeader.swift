import CChecksum

/// The first and the last block of a segment: which segment it is, and of which journal.
struct SegmentHeader: Equatable, Sendable {
    var id: UInt64
    var firstSequence: UInt64
    var segmentBytes: Int
    var instance: InstanceID
    var createdMilliseconds: UInt64

    /// What is found at the place of a header.
    enum Finding: Equatable {
        case valid(SegmentHeader)
        /// Ours but for one flipped bit in the version.
        case damagedVersion
        case newer(UInt16)
        case damaged
    }

    /// Where the checksums of this segment's frames start from.
    var seed: UInt32 { Self.seed(id: self.id, instance: self.instance) }

    static func seed(id: UInt64, instance: InstanceID) -> UInt32 {
        var crc: UInt32 = 0
        for word in [instance.high.littleEndian, instance.low.littleEndian, id.littleEndian] {
            crc = withUnsafeBytes(of: word) { crc32c(crc, $0.baseAddress, 8) }
        }
        return crc
    }

    func write(to place: UnsafeMutableRawPointer) {
        place.initializeMemory(as: UInt8.self, repeating: 0, count: JournalFormat.headerBytes)
        place.putLittle(JournalFormat.segmentMagic, at: 0)
        place.putLittle(JournalFormat.version, at: 8)
        place.putLittle(UInt16(JournalFormat.headerBytes), at: 10)
        place.putLittle(UInt32(clamping: self.segmentBytes), at: 12)
        place.putLittle(self.id, at: 16)
        place.putLittle(self.firstSequence, at: 24)
        place.putLittle(self.instance.high, at: 32)
        place.putLittle(self.instance.low, at: 40)
        place.putLittle(self.createdMilliseconds, at: 48)
        place.putLittle(crc32c(0, place, 60), at: 60)
    }

    static func read(from place: UnsafeRawPointer) -> Finding {
        guard place.little(0, as: UInt64.self) == JournalFormat.segmentMagic else { return .damaged }
        let version = place.little(8, as: UInt16.self)
        let intact = crc32c(0, place, 60) == place.little(60, as: UInt32.self)
        guard version == JournalFormat.version else {
            guard (version ^ JournalFormat.version).nonzeroBitCount == 1, !intact else { return .newer(version) }
            return .damagedVersion
        }
        guard intact, (1..<JournalFormat.endOfSequences).contains(place.little(24)) else { return .damaged }
        return .valid(
            SegmentHeader(
                id: place.little(16),
                firstSequence: place.little(24),
                segmentBytes: Int(place.little(12, as: UInt32.self)),
                instance: InstanceID(high: place.little(32), low: place.little(40)),
                createdMilliseconds: place.little(48)
            )
        )
    }
}

/// The 40 bytes in front of a batch of records.
struct FrameHeader: Equatable, Sendable {
    var length: Int
    var count: Int
    var firstSequence: UInt64
    var milliseconds: UInt64
    var flags: UInt16 = 0
    /// Records of the same write in front of it.
    var before: Int = 0

    var isVoid: Bool { self.flags & JournalFormat.voidFlag != 0 }
    /// Where the write began that it is a part of.
    var writeSequence: UInt64 { self.firstSequence &- UInt64(self.before) }
    var endSequence: UInt64 { self.firstSequence &+ UInt64(self.count) }
    /// From the frame's first byte to the next frame's.
    var stride: Int { JournalFormat.padded(JournalFormat.frameHeaderBytes &+ self.length) }

    func write(to place: UnsafeMutableRawPointer, seed: UInt32) {
        place.putLittle(JournalFormat.frameMagic, at: 0)
        place.putLittle(UInt32(truncatingIfNeeded: self.length), at: 8)
        place.putLittle(UInt16(truncatingIfNeeded: self.count), at: 12)
        place.putLittle(self.flags, at: 14)
        place.putLittle(self.firstSequence, at: 16)
        place.putLittle(self.milliseconds, at: 24)
        place.putLittle(UInt32(clamping: self.before), at: 32)
        place.putLittle(UInt32(0), at: 36)
        place.putLittle(crc32c(seed, place + 8, JournalFormat.frameHeaderBytes - 8 + self.length), at: 4)
    }

    /// The header if the bytes look like one; nothing is checked but the magic and that the frame fits in `room`.
    static func peek(_ place: UnsafeRawPointer, room: Int) -> FrameHeader? {
        guard place.little(0, as: UInt32.self) == JournalFormat.frameMagic else { return nil }
        let header = FrameHeader(
            length: Int(place.little(8, as: UInt32.self)),
            count: Int(place.little(12, as: UInt16.self)),
            firstSequence: place.little(16),
            milliseconds: place.little(24),
            flags: place.little(14),
            before: Int(place.little(32, as: UInt32.self))
        )
        guard header.length > 0, header.count > 0, header.stride <= room,
            header.firstSequence < JournalFormat.endOfSequences, header.firstSequence > UInt64(header.before)
        else { return nil }
        return header
    }

    /// Whether the whole frame at `place`, which must be readable to its end, is the one that was written.
    func isIntact(at place: UnsafeRawPointer, seed: UInt32) -> Bool {
        let bytes = JournalFormat.frameHeaderBytes - 8 + self.length
        return crc32c(seed, place + 8, bytes) == place.little(4, as: UInt32.self)
    }
}

/// The 64 bytes of a cursor and of the end mark.
struct JournalNote: Equatable, Sendable {
    var magic: UInt64
    var generation: UInt64
    var sequence: UInt64
    var instance: InstanceID
    var segment: UInt64 = 0
    var held: UInt32 = 0

    func write(to place: UnsafeMutableRawPointer) {
        place.initializeMemory(as: UInt8.self, repeating: 0, count: JournalFormat.headerBytes)
        place.putLittle(self.magic, at: 0)
        place.putLittle(JournalFormat.version, at: 8)
        place.putLittle(self.generation, at: 16)
        place.putLittle(self.sequence, at: 24)
        place.putLittle(self.instance.high, at: 32)
        place.putLittle(self.instance.low, at: 40)
        place.putLittle(self.segment, at: 48)
        place.putLittle(self.held, at: 56)
        place.putLittle(crc32c(0, place, 60), at: 60)
    }

    static func read(from place: UnsafeRawPointer, magic: UInt64) -> JournalNote? {
        guard place.little(0, as: UInt64.self) == magic,
            place.little(8, as: UInt16.self) == JournalFormat.version,
            crc32c(0, place, 60) == place.little(60, as: UInt32.self),
            place.little(24, as: UInt64.self) < JournalFormat.endOfSequences
        else { return nil }
        return JournalNote(
            magic: magic,
            generation: place.little(16),
            sequence: place.little(24),
            instance: InstanceID(high: place.little(32), low: place.little(40)),
            segment: place.little(48),
            held: place.little(56)
        )
    }
}
