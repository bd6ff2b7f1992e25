import Glibc
import NIOCore
import NIOPosix

/// The thread of a sink.
///
/// It gives way to the threads that answer requests: where a backlog and they want the same core at the same time, they get
/// three quarters of it (sched(7): five steps of nice are a third of the weight). What it leaves to them besides is a
/// matter of its ``CatchUpPace``.
enum SinkThread {
    /// Steps of nice(2) below the threads that answer.
    static let niceness: CInt = 5

    static func make() -> MultiThreadedEventLoopGroup {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // Of the calling thread alone (nice(2), C library/kernel differences).
        group.any().execute { _ = nice(Self.niceness) }
        return group
    }
}
