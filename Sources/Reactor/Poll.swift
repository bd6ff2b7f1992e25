import CLinux
import Glibc
import NIOCore

/// What a descriptor is watched for, and what it was found to be: the bits of epoll_ctl(2).
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    public static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    /// The other side sends nothing more. What it has sent may still be unread.
    public static let finished = Readiness(rawValue: EPOLLRDHUP.rawValue)
    /// Asked for: ``Watched/isReady(_:)`` is called when something has come, and not as long as it is there.
    public static let edge = Readiness(rawValue: EPOLLET.rawValue)
    /// Both directions are shut, or the connection was reset. Reported unasked.
    public static let hungUp = Readiness(rawValue: EPOLLHUP.rawValue)
    /// Reported unasked.
    public static let failed = Readiness(rawValue: EPOLLERR.rawValue)
}

/// A descriptor that a loop watches, and what happens when it is ready.
///
/// A class to inherit from, not a protocol: the kernel keeps one pointer for each descriptor, and gives it back.
open class Watched {
    public let descriptor: CInt
    final fileprivate(set) var interest: Readiness = []
    final fileprivate(set) var isWatched = false

    /// - Parameter descriptor: does not block.
    public init(descriptor: CInt) { self.descriptor = descriptor }

    /// Called in every tick for as long as it holds; with ``Readiness/edge`` only when it has become so, or more so, which
    /// saves the kernel a second look at each descriptor. Whoever has not taken all there was asks the loop to look again.
    open func isReady(_ readiness: Readiness) {}
}

/// The descriptors of one loop, by epoll(7).
struct Poll: ~Copyable {
    /// Ready descriptors that one call reports; what is ready beyond is reported by the next.
    private static let batch = 256

    private let descriptor: CInt
    private let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: batch)
    /// The kernel has a pointer to each, so here they are kept alive.
    private var watched: [CInt: Watched] = [:]
    /// No longer watched, but perhaps among the events that are being looked at.
    private var leaving: [Watched] = []

    init() throws {
        self.descriptor = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard self.descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "epoll_create1") }
        self.events.initialize(repeating: epoll_event())
    }

    deinit {
        self.events.deallocate()
        if self.descriptor >= 0 { Glibc.close(self.descriptor) }
    }

    mutating func add(_ watched: Watched, for interest: Readiness) throws {
        guard self.control(EPOLL_CTL_ADD, watched, interest) == 0 else {
            throw IOError(errnoCode: errno, reason: "epoll_ctl")
        }
        watched.isWatched = true
        self.watched[watched.descriptor] = watched
    }

    mutating func change(_ watched: Watched, to interest: Readiness) {
        guard watched.isWatched, interest != watched.interest else { return }
        // What is registered already needs no memory (epoll_ctl(2)): this cannot fail.
        _ = self.control(EPOLL_CTL_MOD, watched, interest)
    }

    /// For one that is watched at its edges: reports it with the next wait if it is ready then.
    mutating func lookAgain(at watched: Watched) {
        guard watched.isWatched else { return }
        _ = self.control(EPOLL_CTL_MOD, watched, watched.interest)
    }

    /// The descriptor is the caller's to close.
    mutating func remove(_ watched: Watched) {
        guard watched.isWatched else { return }
        _ = self.control(EPOLL_CTL_DEL, watched, [])
        watched.isWatched = false
        if let kept = self.watched.removeValue(forKey: watched.descriptor) { self.leaving.append(kept) }
    }

    private func control(_ operation: CInt, _ watched: Watched, _ interest: Readiness) -> CInt {
        watched.interest = interest
        var event = epoll_event()
        event.events = interest.rawValue
        event.data.ptr = Unmanaged.passUnretained(watched).toOpaque()
        return epoll_ctl(self.descriptor, operation, watched.descriptor, &event)
    }

    /// Sleeps until something is ready, or a signal comes, or the time is over.
    ///
    /// - Parameter milliseconds: -1: without end.
    /// - Returns: how many are ready; `ready(_:)` gives them.
    mutating func wait(upTo milliseconds: CInt) -> Int {
        self.leaving.removeAll(keepingCapacity: true)
        return max(0, Int(epoll_wait(self.descriptor, self.events.baseAddress, CInt(Self.batch), milliseconds)))
    }

    /// One of those that the last wait has found; nil where an earlier one's work has ended its being watched.
    @inline(__always)
    func ready(_ index: Int) -> (watched: Watched, readiness: Readiness)? {
        let event = self.events[index]
        guard let pointer = event.data.ptr else { return nil }
        let watched = Unmanaged<Watched>.fromOpaque(pointer).takeUnretainedValue()
        return watched.isWatched ? (watched, Readiness(rawValue: event.events)) : nil
    }
}
