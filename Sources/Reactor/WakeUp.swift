import CLinux
import Glibc
import NIOConcurrencyHelpers
import NIOCore

/// What other threads ask of a loop, and the bell that wakes it: an eventfd(2) among its descriptors.
final class WakeUp: Watched {
    typealias Job = @Sendable () -> Void

    /// The half that other threads see.
    final class Inbox: Sendable {
        private struct State {
            var jobs: [Job] = []
            /// The bell has been rung and not been heard yet: one ring is enough for all.
            var isRung = false
            var isClosed = false
        }

        private let state = NIOLockedValueBox(State())
        private let bell: CInt

        fileprivate init(bell: CInt) { self.bell = bell }

        deinit { Glibc.close(self.bell) }

        /// False: the loop has ended and runs nothing any more.
        func put(_ job: @escaping Job) -> Bool {
            let (isOpen, wasRung) = self.state.withLockedValue { state in
                guard !state.isClosed else { return (false, true) }
                defer { state.isRung = true }
                state.jobs.append(job)
                return (true, state.isRung)
            }
            // Not under the lock: on one core the loop would run at once, into it, and sleep again.
            if !wasRung { eventfd_write(self.bell, 1) }
            return isOpen
        }

        fileprivate func take() -> [Job] {
            self.state.withLockedValue { state in
                state.isRung = false
                defer { state.jobs = [] }
                return state.jobs
            }
        }

        fileprivate func close() -> [Job] {
            self.state.withLockedValue { state in
                state.isClosed = true
                defer { state.jobs = [] }
                return state.jobs
            }
        }
    }

    let inbox: Inbox
    /// Takes what was asked for.
    var heard: ([Job]) -> Void = { _ in }

    init() throws {
        let bell = eventfd(0, CInt(EFD_NONBLOCK | EFD_CLOEXEC))
        guard bell >= 0 else { throw IOError(errnoCode: errno, reason: "eventfd") }
        self.inbox = Inbox(bell: bell)
        super.init(descriptor: bell)
    }

    override func isReady(_ readiness: Readiness) {
        // At its edges each ring is reported: what it counts need not be read.
        self.heard(self.inbox.take())
    }

    /// What has come since; nothing comes any more.
    func close() -> [Job] { self.inbox.close() }
}
