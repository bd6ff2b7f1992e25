import Glibc
import Logging
import ServiceLifecycle
import StreamSource
import Synchronization

/// Says how far a consumer is: on a terminal a line that is renewed every second, else a line of the log, the first one
/// within a second of the first record, then one every ten seconds in which something happened.
final class StreamProgress: Service {
    private struct Last {
        var books = ConsumerBooks()
        var time = StreamProgress.now()
    }

    private let words: StreamWords
    private let logger: Logger
    private let books: @Sendable () -> ConsumerBooks
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let last = Mutex(Last())

    init(words: StreamWords, logger: Logger, books: @escaping @Sendable () -> ConsumerBooks) {
        self.words = words
        self.logger = logger
        self.books = books
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var interval = Duration.seconds(1)
            while !Task.isCancelled {
                do { try await Task.sleep(for: interval) } catch { return }
                if self.say(), !self.isTerminal { interval = .seconds(10) }
            }
        }
    }

    /// The sums, at the end.
    func finish() {
        if self.isTerminal { Self.write("\n") }
        let books = self.books()
        self.logger.info("stopped", metadata: self.sums(books))
    }

    /// - Returns: whether there was something to say.
    private func say() -> Bool {
        let books = self.books()
        let now = Self.now()
        let last = self.last.withLock { last in
            defer { last = Last(books: books, time: now) }
            return last
        }
        let seconds = Double(max(now - last.time, 1)) / 1000
        let rate = Int(Double(books.stored &- last.books.stored) / seconds)
        let lag = Double(Int(books.lag(at: now) * 10)) / 10
        if self.isTerminal {
            let sums = self.sums(books)
            let counts = "\(sums[self.words.results.stored] ?? ""), \(rate)/s, \(books.duplicates) "
            let rest = "\(self.words.results.duplicate), \(books.buried) dead letters, lag \(lag) s"
            Self.write("\r\u{1b}[K\(self.words.results.stored) \(counts)\(rest)")
            return true
        }
        guard
            books.stored != last.books.stored || books.duplicates != last.books.duplicates
                || books.buried != last.books.buried
        else { return false }
        let values: Logger.Metadata = ["rate": "\(rate)/s", "lag": "\(lag)s"]
        self.logger.info("progress", metadata: self.sums(books).merging(values) { $1 })
        return true
    }

    private func sums(_ books: ConsumerBooks) -> Logger.Metadata {
        [
            self.words.results.stored: "\(books.stored)", self.words.results.duplicate: "\(books.duplicates)",
            "deadLetters": "\(books.buried)",
        ]
    }

    private static func write(_ text: String) {
        var bytes = Array(text.utf8)
        _ = Glibc.write(STDERR_FILENO, &bytes, bytes.count)
    }

    /// In milliseconds since the epoch.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
    }
}

extension ConsumerBooks {
    fileprivate var buried: UInt64 { self.deadLetters.values.reduce(0, &+) }
}
