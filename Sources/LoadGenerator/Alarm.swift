import CLinux
import Glibc
import NIOCore
import Reactor

/// Rings once at a time, to some microseconds: a timerfd(2), since the loop's own timers are as fine as epoll_wait(2), which is
/// a millisecond.
final class Alarm: Watched {
    var rang: () -> Void = {}
    private let reactor: ReactorLoop
    private var isOver = false

    init(on reactor: ReactorLoop) throws {
        self.reactor = reactor
        let timer = timerfd_create(CLOCK_MONOTONIC, CInt(TFD_NONBLOCK | TFD_CLOEXEC))
        guard timer >= 0 else { throw IOError(errnoCode: errno, reason: "timerfd_create") }
        super.init(descriptor: timer)
        do {
            try reactor.watch(self, for: .readable)
        } catch {
            close(timer)
            throw error
        }
    }

    /// In the past: with the next turn of the loop. An earlier time that has not come yet is forgotten.
    func ring(at time: NIODeadline) {
        // Zero would mean never.
        let nanoseconds = max(1, time.uptimeNanoseconds)
        var setting = itimerspec()
        setting.it_value.tv_sec = Int(nanoseconds / 1_000_000_000)
        setting.it_value.tv_nsec = Int(nanoseconds % 1_000_000_000)
        timerfd_settime(descriptor, CInt(TFD_TIMER_ABSTIME), &setting, nil)
    }

    override func isReady(_ readiness: Readiness) {
        var times: UInt64 = 0
        _ = read(descriptor, &times, MemoryLayout<UInt64>.size)
        rang()
    }

    func end() {
        guard !isOver else { return }
        isOver = true
        reactor.unwatch(self)
        close(descriptor)
    }
}

@available(*, unavailable)
extension Alarm: Sendable {}
