/// The frames committed last, in memory, so that sinks which keep up never read the disk.
final class RecentBatches: Sendable {
    private struct State {
        var chunks: [Chunk] = []
        /// A chunk nobody reads any more, to be filled again.
        var free: Chunk?
        var bytes = 0
    }

    private static let chunkBytes = 256 << 10

    private let state = Locked(State())
    private let maxBytes: Int
    private let keepsUnsynced: Bool

    /// - Parameters:
    ///   - maxBytes: of frames that are on disk; 0 keeps none of them.
    ///   - keepsUnsynced: whether frames stay, beyond `maxBytes`, until a sync covers them or every sink has them.
    init(maxBytes: Int, keepsUnsynced: Bool) {
        self.maxBytes = maxBytes
        self.keepsUnsynced = keepsUnsynced
    }

    /// Keeps a copy of frames that follow each other in sequence and in memory.
    ///
    /// - Parameter low: what every sink has; older chunks go.
    func append(_ frames: UnsafeRawBufferPointer, _ sequences: Range<UInt64>, low: UInt64, syncedThrough: UInt64) {
        guard self.maxBytes > 0 || self.keepsUnsynced else { return }
        let (first, end) = (sequences.lowerBound, sequences.upperBound)
        let kept = self.keepsUnsynced ? syncedThrough : .max
        self.state.withLock { state in
            if let last = state.chunks.last, last.take(frames, end: end) { return }
            self.makeRoom(&state, for: max(Self.chunkBytes, frames.count), low: low, unsyncedFrom: kept)
            let chunk = state.free.take() ?? Chunk(capacity: max(Self.chunkBytes, frames.count))
            let usable = chunk.capacity >= frames.count ? chunk : Chunk(capacity: frames.count)
            usable.restart(at: first)
            _ = usable.take(frames, end: end)
            state.bytes += usable.capacity
            state.chunks.append(usable)
        }
    }

    /// The chunk with the event, and how much of it may be read.
    func chunk(for sequence: UInt64) -> (chunk: Chunk, used: Int)? {
        self.state.withLock { state in
            guard let chunk = state.chunks.last(where: { $0.first <= sequence }), sequence < chunk.end else {
                return nil
            }
            return (chunk, chunk.used)
        }
    }

    /// Copies of everything from `sequence` on, chunk by chunk: what a failed sync may have lost.
    func chunks(from sequence: UInt64) -> [(chunk: Chunk, used: Int)] {
        self.state.withLock { state in state.chunks.filter { $0.end > sequence }.map { ($0, $0.used) } }
    }

    private func makeRoom(_ state: inout State, for bytes: Int, low: UInt64, unsyncedFrom kept: UInt64) {
        while let oldest = state.chunks.first,
            oldest.end <= low || state.bytes + bytes > self.maxBytes && oldest.end <= kept
        {
            state.bytes -= oldest.capacity
            state.chunks.removeFirst()
            if oldest.capacity == Self.chunkBytes { state.free = oldest }
        }
        // A slice may still point into it; then it is the slice's alone.
        if state.free != nil, !isKnownUniquelyReferenced(&state.free) { state.free = nil }
    }

    /// A stretch of whole frames that only grows until nobody but the ring holds it.
    ///
    /// `@unchecked Sendable`: its fields change under the ring's lock only; its bytes below a `used` that was read under
    /// that lock change only when the ring is its only owner.
    final class Chunk: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        let capacity: Int
        fileprivate(set) var first: UInt64 = 0
        fileprivate(set) var end: UInt64 = 0
        fileprivate(set) var used = 0

        init(capacity: Int) {
            self.capacity = capacity
            self.base = .allocate(byteCount: capacity, alignment: 16)
        }

        deinit { self.base.deallocate() }

        fileprivate func restart(at sequence: UInt64) {
            self.first = sequence
            self.end = sequence
            self.used = 0
        }

        fileprivate func take(_ frames: UnsafeRawBufferPointer, end: UInt64) -> Bool {
            guard self.used + frames.count <= self.capacity, let source = frames.baseAddress else { return false }
            (self.base + self.used).copyMemory(from: source, byteCount: frames.count)
            self.used += frames.count
            self.end = end
            return true
        }
    }
}
