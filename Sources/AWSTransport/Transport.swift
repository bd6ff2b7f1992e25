import NIOConcurrencyHelpers

/// HTTP requests through libcurl: one multi handle on a thread of its own, connections kept and used again.
///
/// A request is sent at most once: libcurl's own repetition on a fresh connection is refused, because whoever repeats a
/// request must know that it may be stored twice.
///
/// ``shutdown()``, or the last reference going away, ends every request with an outcome.
public final class Transport: Sendable {
    private let loop: TransferLoop

    /// - Throws: ``TransportFailure`` with `configuration` where the system gives no thread or no handle.
    public init(_ configuration: TransportConfiguration = TransportConfiguration()) throws(TransportFailure) {
        self.loop = try TransferLoop.start(configuration)
    }

    deinit { self.loop.stop() }

    /// Sends the request and waits for the whole answer. Cancelling the task ends the transfer.
    public func perform(_ request: AWSRequest) async -> AWSAnswer {
        let transfer = Transfer(request)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                self.loop.submit(transfer) { continuation.resume(returning: $0) }
            }
        } onCancel: {
            self.loop.cancel(transfer)
        }
    }

    /// Returns when the thread has ended and every request has its outcome; later ones are `stopped` at once.
    public func shutdown() async {
        await withCheckedContinuation { continuation in
            self.loop.stop { continuation.resume() }
        }
    }
}
