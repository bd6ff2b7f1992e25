import Glibc
import Synchronization

/// Prepares segments before they are needed: zero-filled and synced, so that neither space nor metadata is missing later.
///
/// Its lock is held over disk operations; event loops never take it.
final class SpareSegments: Sendable {
    struct Spare: Sendable {
        var file: any JournalFile
        var path: String
        var bytes: Int
    }

    private struct State {
        var ready: Spare?
        var nextID: UInt64
    }

    private let files: any JournalFileSystem
    private let paths: JournalPaths
    private let configuration: JournalConfiguration
    private let state: Locked<State>
    /// A commit waits for the spare that is being made, and so many bytes of it would do; 0: none waits.
    let awaited = Atomic<Int>(0)
    /// The end waits for it.
    private let isEnding = Atomic<Bool>(false)

    init(_ files: any JournalFileSystem, _ configuration: JournalConfiguration, nextID: UInt64, existing: [UInt64]) {
        self.files = files
        self.paths = JournalPaths(directory: configuration.directory)
        self.configuration = configuration
        var state = State(ready: nil, nextID: nextID)
        if let id = existing.first, let file = try? files.open(self.paths.spare(id), create: false) {
            state.ready = Spare(file: file, path: self.paths.spare(id), bytes: configuration.effectiveSegmentBytes)
        }
        self.state = Locked(state)
    }

    var isReady: Bool { self.state.withLock { $0.ready != nil } }

    /// A prepared segment and the id it is to have. Makes one where none is ready.
    ///
    /// - Parameters:
    ///   - bytes: of one that is made for it; less, where ``awaiting(_:_:)`` says that less will do.
    ///   - enough: it has no fewer bytes.
    ///   - room: whether so many bytes more are within the bound; asked under the lock.
    func take(bytes: Int, enough: Int, room: (Int) -> Bool) throws(IOFailure) -> (spare: Spare, id: UInt64) {
        try self.locked { state throws(IOFailure) in
            // Whoever gets the lock next makes the one after this, and nobody waits for that.
            defer { self.awaited.store(0, ordering: .relaxed) }
            if let small = state.ready, small.bytes < enough {
                state.ready = nil
                try self.files.remove(small.path)
            }
            if state.ready == nil { state.ready = try self.make(&state, bytes: bytes, room: room) }
            guard let spare = state.ready.take() else {
                throw IOFailure(code: SystemError.noSpace, call: "take", path: "")
            }
            defer { state.nextID += 1 }
            return (spare, state.nextID)
        }
    }

    /// From now on nothing is paused for.
    func hurry() { self.isEnding.store(true, ordering: .relaxed) }

    /// For a commit that can't go on before this has returned.
    ///
    /// - Parameter bytes: a segment of that size will do: what is being made ends there, or where it is if it is larger.
    func awaiting<R>(_ bytes: Int, _ body: () throws(IOFailure) -> R) throws(IOFailure) -> R {
        self.awaited.store(bytes, ordering: .relaxed)
        defer { self.awaited.store(0, ordering: .relaxed) }
        return try body()
    }

    /// Makes one if none is ready.
    func prepare(room: (Int) -> Bool) throws(IOFailure) {
        try self.locked { state throws(IOFailure) in
            guard state.ready == nil else { return }
            state.ready = try self.make(&state, bytes: self.configuration.effectiveSegmentBytes, room: room)
        }
    }

    /// The file of a segment that nobody needs any more: becomes the spare, or goes.
    func recycle(_ segment: JournalLedger.Segment) throws(IOFailure) {
        try self.locked { state throws(IOFailure) in
            let path = self.paths.segment(segment.id)
            guard state.ready == nil, segment.fileBytes == self.configuration.effectiveSegmentBytes else {
                return try self.files.remove(path)
            }
            let file = try self.files.open(path, create: false)
            try self.files.rename(path, to: self.paths.spare(segment.id))
            state.ready = Spare(file: file, path: self.paths.spare(segment.id), bytes: segment.fileBytes)
        }
    }

    private func make(_ state: inout State, bytes: Int, room: (Int) -> Bool) throws(IOFailure) -> Spare {
        let directory = self.configuration.directory
        guard room(bytes), try self.files.freeBytes(directory) >= self.configuration.minFreeBytes + bytes else {
            throw IOFailure(code: SystemError.noSpace, call: "prepare", path: directory)
        }
        let unfinished = self.paths.unfinished(state.nextID)
        let path = self.paths.spare(state.nextID)
        do {
            let file = try self.files.open(unfinished, create: true)
            let bytes = try self.fill(file, bytes)
            try file.sync()
            try self.files.rename(unfinished, to: path)
            try self.files.syncDirectory(directory)
            return Spare(file: file, path: path, bytes: bytes)
        } catch {
            // Gives what it got back, so that a full disk is no fuller for the attempt.
            try? self.files.remove(unfinished)
            try? self.files.remove(path)
            throw error
        }
    }

    /// So much of a spare goes to the disk at once, so that no commit's sync has a whole segment of zeros before it. A
    /// multiple of what one write fills, and of the block.
    private static let part = 512 << 10
    /// From one part's beginning to the next's, in nanoseconds, if the disk isn't slower: in between it is there for commits alone.
    /// A segment of the usual size is there within half a second.
    private static let interval: UInt64 = 9_000_000

    /// - Returns: how much of it there is; less than all where a commit waits.
    private func fill(_ file: any JournalFile, _ bytes: Int) throws(IOFailure) -> Int {
        let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: min(bytes, 256 << 10), alignment: 16)
        defer { zeros.deallocate() }
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        try file.truncate(to: 0)
        var offset = 0
        var began = JournalClock.monotonicNanoseconds()
        while offset < bytes, !self.isEnough(offset) {
            let piece = UnsafeRawBufferPointer(rebasing: zeros[..<min(zeros.count, bytes - offset)])
            try file.write([piece], at: offset)
            offset += piece.count
            guard offset < bytes, offset % Self.part == 0, !self.isUrgent else { continue }
            try file.sync()
            self.pause(until: began &+ Self.interval)
            began = JournalClock.monotonicNanoseconds()
        }
        return offset
    }

    private func isEnough(_ bytes: Int) -> Bool {
        let awaited = self.awaited.load(ordering: .relaxed)
        return awaited > 0 && bytes >= awaited
    }

    private var isUrgent: Bool {
        self.isEnding.load(ordering: .relaxed) || self.awaited.load(ordering: .relaxed) > 0
    }

    /// Looks up twice a millisecond: whoever waits has no time.
    private func pause(until end: UInt64) {
        while !self.isUrgent, JournalClock.monotonicNanoseconds() < end { usleep(500) }
    }

    private func locked<R>(_ body: (inout State) throws(IOFailure) -> R) throws(IOFailure) -> R {
        try self.state.withLock { state throws(IOFailure) in try body(&state) }
    }
}
