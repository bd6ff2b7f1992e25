/// What one event loop gathers while the disk is busy: frames without their headers' numbers, ready for one write.
///
/// `@unchecked Sendable`: it has one owner at a time. The lane fills it, hands it to the writer, and gets it back with the
/// outcome; both hand-overs pass a lock.
final class LaneBuffer: @unchecked Sendable {
    struct Frame {
        var offset: Int
        /// Of the records alone.
        var length: Int
        var count: Int

        var stride: Int { JournalFormat.padded(JournalFormat.frameHeaderBytes + self.length) }
    }

    /// What a loop needs between two commits of a busy second; more is given back after use.
    private static let usualCapacity = 256 << 10

    private(set) var base: UnsafeMutableRawPointer
    private var capacity: Int
    private let maxCapacity: Int
    private let maxFrameBytes: Int
    private var used = 0
    private(set) var frames: [Frame] = []
    private(set) var records = 0

    init(maxCapacity: Int, maxFrameBytes: Int) {
        self.maxCapacity = maxCapacity
        self.maxFrameBytes = maxFrameBytes
        self.capacity = min(16 << 10, maxCapacity)
        self.base = .allocate(byteCount: self.capacity, alignment: 16)
        self.frames.reserveCapacity(16)
    }

    deinit { self.base.deallocate() }

    var isEmpty: Bool { self.records == 0 }

    /// Room for one record of at most `count` bytes, or nil where the buffer has reached its bound.
    @inline(__always)
    func place(upTo count: Int) -> UnsafeMutableRawBufferPointer? {
        let most = JournalFormat.frameHeaderBytes + JournalFormat.recordHeaderBytes + count + 8
        if self.used + most > self.capacity, !self.grow(to: self.used + most) { return nil }
        if !self.lastFrameTakes(count) { self.openFrame() }
        return UnsafeMutableRawBufferPointer(
            start: self.base + self.used + JournalFormat.recordHeaderBytes,
            count: count
        )
    }

    /// The record written to the place given last is to stay.
    @inline(__always)
    func keep(length: Int, key: Range<Int>) {
        let place = self.base + self.used
        place.putLittle(UInt32(truncatingIfNeeded: length), at: 0)
        place.putLittle(UInt16(truncatingIfNeeded: key.lowerBound), at: 4)
        place.putLittle(UInt16(truncatingIfNeeded: key.count), at: 6)
        let bytes = JournalFormat.recordHeaderBytes + length
        self.used += bytes
        self.records += 1
        self.frames[self.frames.count - 1].length += bytes
        self.frames[self.frames.count - 1].count += 1
    }

    /// Ready for the writer: the last frame is closed.
    func seal() {
        self.closeFrame()
        if let last = self.frames.last, last.count == 0 { self.frames.removeLast() }
    }

    /// Ready to be filled again.
    func clear() {
        self.used = 0
        self.records = 0
        self.frames.removeAll(keepingCapacity: true)
        guard self.capacity > Self.usualCapacity else { return }
        self.base.deallocate()
        self.capacity = min(Self.usualCapacity, self.maxCapacity)
        self.base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    private func lastFrameTakes(_ count: Int) -> Bool {
        guard let last = self.frames.last else { return false }
        return last.count < JournalFormat.frameRecords
            && JournalFormat.frameHeaderBytes + last.length + JournalFormat.recordHeaderBytes + count + 8
                <= self.maxFrameBytes
    }

    private func openFrame() {
        self.closeFrame()
        if let last = self.frames.last, last.count == 0 { return }
        self.frames.append(Frame(offset: self.used, length: 0, count: 0))
        self.used += JournalFormat.frameHeaderBytes
    }

    private func closeFrame() {
        let end = JournalFormat.padded(self.used)
        (self.base + self.used).initializeMemory(as: UInt8.self, repeating: 0, count: end - self.used)
        self.used = end
    }

    private func grow(to wanted: Int) -> Bool {
        guard wanted <= self.maxCapacity else { return false }
        var larger = self.capacity
        while larger < wanted { larger *= 2 }
        larger = min(larger, self.maxCapacity)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        moved.copyMemory(from: self.base, byteCount: self.used)
        self.base.deallocate()
        self.base = moved
        self.capacity = larger
        return true
    }
}
