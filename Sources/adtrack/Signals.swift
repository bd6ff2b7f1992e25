import Dispatch
import Glibc
import Synchronization

/// SIGTERM and SIGINT as calls on a queue.
///
/// Not Dispatch's signal sources: on Linux they need every thread to block the signal, the main thread of an async program
/// does not (it sleeps in sigsuspend with an empty mask), and about one signal in ten was then lost. Here the handler
/// writes the signal's number into a pipe, the one thing a signal handler may safely do.
struct Signals {
    /// The pipe's end for the handler; -1 before the first watch.
    private static let mouth = Atomic<CInt>(-1)

    private let source: any DispatchSourceRead

    /// The result has to be kept while signals are to be seen. There is one watch in a process.
    static func watch(
        _ numbers: [CInt],
        on queue: DispatchQueue,
        _ handle: @escaping @Sendable (CInt) -> Void
    ) -> Signals? {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        let ear = ends[0]
        let source = DispatchSource.makeReadSource(fileDescriptor: ear, queue: queue)
        source.setEventHandler { @Sendable in
            var number: UInt8 = 0
            while read(ear, &number, 1) == 1 { handle(CInt(number)) }
        }
        source.activate()
        mouth.store(ends[1], ordering: .releasing)
        for number in numbers { signal(number) { Signals.tell($0) } }
        return Signals(source: source)
    }

    /// From now on each of them ends the process, as it does without a watch.
    static func restore(_ numbers: [CInt]) {
        for number in numbers { signal(number, SIG_DFL) }
    }

    /// Runs in the signal handler: no lock, no allocation, and `errno` is left as it was.
    private static func tell(_ signal: CInt) {
        let before = errno
        var number = UInt8(truncatingIfNeeded: signal)
        _ = write(mouth.load(ordering: .acquiring), &number, 1)
        errno = before
    }
}
