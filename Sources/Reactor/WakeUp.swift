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

        /// False: the loop has ended and runs nothing any more.
        func put(_ job: @escaping Job) -> Bool {
            self.state.withLockedValue { state in
                guard !state.isClosed else { return false }
                state.jobs.append(job)
                // Under the lock, so that the bell is not closed meanwhile.
                if !state.isRung { eventfd_write(self.bell, 1) }
                state.isRung = true
                return true
            }
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

    deinit { Glibc.close(self.descriptor) }

    override func isReady(_ readiness: Readiness) {
        var rings: eventfd_t = 0
        eventfd_read(self.descriptor, &rings)
        self.heard(self.inbox.take())
    }

    /// What has come since; nothing comes any more.
    func close() -> [Job] { self.inbox.close() }
}
