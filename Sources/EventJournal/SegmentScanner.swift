/// Reads one segment frame by frame, in constant memory, and finds the next good frame after a bad one.
final class SegmentScanner {
    struct Frame {
        var header: FrameHeader
        var offset: Int
        /// From the frame's header to the end of its last record; valid until the scanner moves on.
        var bytes: UnsafeRawBufferPointer
        /// Where bytes begin that were skipped to get here.
        var skippedFrom: Int?

        var records: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: self.bytes[JournalFormat.frameHeaderBytes...])
        }
    }

    /// Of one read.
    private static let windowBytes = 256 << 10

    private let file: any JournalFile
    private let seed: UInt32
    /// The end of the frames; a reader beside a writer moves it.
    var limit: Int
    /// Where the next frame is expected.
    private(set) var offset: Int

    private var window: UnsafeMutableRawBufferPointer
    private var windowStart = 0
    private var windowCount = 0

    init(_ file: any JournalFile, seed: UInt32, from offset: Int = JournalFormat.block, limit: Int) {
        self.file = file
        self.seed = seed
        self.offset = offset
        self.limit = limit
        self.window = .allocate(byteCount: Self.windowBytes, alignment: 16)
    }

    deinit { self.window.deallocate() }

    /// The next good frame, nil at the end. With `resync` false also nil, and nothing moved, where no good frame stands at
    /// the expected place.
    func next(resync: Bool = true) -> Frame? {
        let start = self.offset
        if let found = self.frame(at: start) {
            self.offset = start + found.header.stride
            return found
        }
        guard resync else { return nil }
        var probe = start + 8
        while let candidate = self.nextMagic(from: probe) {
            if var found = self.frame(at: candidate) {
                found.skippedFrom = start
                self.offset = candidate + found.header.stride
                return found
            }
            probe = candidate + 8
        }
        return nil
    }

    /// Forgets what was read, for a file that is being written.
    func refresh() { self.windowCount = 0 }

    private func frame(at offset: Int) -> Frame? {
        let least = JournalFormat.frameHeaderBytes
        guard let start = self.view(offset, least),
            let header = FrameHeader.peek(start, room: self.limit - offset),
            let place = self.view(offset, least + header.length),
            FrameHeader.peek(place, room: self.limit - offset) == header,
            header.isIntact(at: place, seed: self.seed)
        else { return nil }
        return Frame(
            header: header,
            offset: offset,
            bytes: UnsafeRawBufferPointer(start: place, count: least + header.length)
        )
    }

    private func nextMagic(from start: Int) -> Int? {
        var probe = start
        while let place = self.view(probe, JournalFormat.frameHeaderBytes) {
            let end = min(self.windowStart + self.windowCount, self.limit) - JournalFormat.frameHeaderBytes
            var step = 0
            while probe + step <= end {
                if place.little(step, as: UInt32.self) == JournalFormat.frameMagic { return probe + step }
                step += 8
            }
            probe += step
        }
        return nil
    }

    /// The bytes from `offset` on, at least `count`, or nil when the file or the limit ends before.
    private func view(_ offset: Int, _ count: Int) -> UnsafeRawPointer? {
        guard offset + count <= self.limit else { return nil }
        if offset < self.windowStart || offset + count > self.windowStart + self.windowCount {
            self.fill(from: offset, atLeast: count)
            guard count <= self.windowCount else { return nil }
        }
        return self.window.baseAddress.map { UnsafeRawPointer($0) + (offset - self.windowStart) }
    }

    private func fill(from offset: Int, atLeast count: Int) {
        if self.window.count < count {
            self.window.deallocate()
            self.window = .allocate(byteCount: count, alignment: 16)
        }
        self.windowStart = offset
        let wanted = UnsafeMutableRawBufferPointer(
            rebasing: self.window[..<min(self.window.count, self.limit - offset)]
        )
        do {
            self.windowCount = try self.file.read(into: wanted, at: offset)
        } catch {
            self.windowCount = self.fillBlockwise(wanted, from: offset)
        }
    }

    /// A block that the disk cannot read counts as damaged, its neighbours do not.
    private func fillBlockwise(_ wanted: UnsafeMutableRawBufferPointer, from offset: Int) -> Int {
        var done = 0
        while done < wanted.count {
            let end = min(done + JournalFormat.block - (offset + done) % JournalFormat.block, wanted.count)
            let part = UnsafeMutableRawBufferPointer(rebasing: wanted[done..<end])
            if let got = try? self.file.read(into: part, at: offset + done) {
                if got < part.count { return done + got }
            } else {
                part.initializeMemory(as: UInt8.self, repeating: 0)
            }
            done = end
        }
        return done
    }
}
